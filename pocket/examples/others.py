"""Passes, what to lead away from, and what was saved before."""

from __future__ import annotations

from pocket.examples.example import Cell, Example, picture, unit

PASSES = (
    Example(
        "passes",
        "Hires fix",
        "`passes` chooses hires fix's first or second pass.",
        (
            Cell("no picture"),
            Cell("both passes", (unit("purple-stripes", passes="both"),)),
            Cell("the first", (unit("purple-stripes", passes="first"),)),
            Cell("hires", (unit("purple-stripes", passes="hires"),)),
        ),
        prompt="a star",
        seed=6,
        job={
            "width": 64,
            "height": 64,
            "enable_hr": True,
            "hr_scale": 2,
            "hr_upscaler": "Lanczos",
            "denoising_strength": 0.6,
        },
    ),
    Example(
        "detailer",
        "Detailers",
        "`detailer` chooses the passes that ADetailer and its like make inside a job: with `only` the faces have a"
        " reference of their own, beside that of the whole picture. (ADetailer lets in what is named in *Settings →"
        " ADetailer → Script names to apply to ADetailer*: add `ip_adapter` there, or no unit acts in its passes.)",
        (Cell("", (unit("purple-stripes", detailer="never"), unit("teal-spots", detailer="only"))),),
        prompt="a star",
    ),
    Example(
        "reference",
        "The job's own picture",
        "`input` takes img2img's input picture: in the Batch tab each file is its own reference, in Loopback each"
        " loop's input. In the Batch tab `folder` takes the picture of the same name from the folder in *Settings →"
        " IP-Adapter*.",
        (Cell("no picture"), Cell("its own", (unit(reference="input"),))),
        prompt="a square",
        job={"init_images": [picture("red-checks")], "denoising_strength": 0.8},
    ),
    Example(
        "folder",
        "A folder of pictures",
        "`whole folder` takes all pictures of the folder in *Settings → IP-Adapter*, 64 at most in the order of their"
        " names, or of one folder inside it.",
        (Cell("", (unit(reference="whole folder", reference_folder="styles", combine="average"),)),),
    ),
)

NEGATIVE = (
    Example(
        "negative",
        "A negative picture, and noise",
        "A picture to lead away from. With `noise` and no negative picture, a noisy copy of the reference takes its"
        " place: on the pocket model that leads away from the reference's colours, as the picture shows.",
        (
            Cell("no negative picture", (unit("purple-stripes", scale=0.5),)),
            Cell("negative: teal-spots", (unit("purple-stripes", scale=0.5, negative_image=picture("teal-spots")),)),
            Cell("noise, fade", (unit("purple-stripes", scale=0.5, noise=0.5),)),
            *(
                Cell(f"noise, {kind}", (unit("purple-stripes", scale=0.5, noise=0.5, noise_kind=kind),))
                for kind in ("dissolve", "gaussian", "shuffle")
            ),
        ),
        shown=1,
        prompt="a star",
    ),
    Example(
        "noise",
        "Noise in place of a negative picture",
        "The payload of the last of these pictures: the reference turned upside down, torn about and noisy.",
        (Cell("", (unit("purple-stripes", scale=0.5, noise=0.5, noise_kind="shuffle"),)),),
        prompt="a star",
    ),
)

SAVED_AS, SAVED_FROM = "dusk", "teal-spots"
"""Name of the saved prompt, and of the picture that it was made from."""

SAVED = (
    Example(
        "embeds",
        "A prompt without its picture",
        "*Save as image prompt* in the page, or `python -m lib_ipadapter encode`, writes what the adapter made of the"
        " pictures, a few kB; it is chosen by name, and needs neither picture nor encoder. `POST /ip-adapter/encode`"
        " answers with the same in base64, which `embeds` takes as it is. Here"
        f" “{SAVED_AS}” was made of `{SAVED_FROM}`.",
        (
            Cell("none"),
            *(Cell(f"“{SAVED_AS}”, {scale:g}", (unit(embeds=SAVED_AS, scale=scale),)) for scale in (0.3, 0.6, 0.9)),
        ),
        shown=2,
        prompt="a star",
        behind=(SAVED_FROM,),
    ),
)

FACES = (
    Example(
        "face",
        "Faces",
        "A face in the picture, found by `insightface` where it is installed, or one that was saved:"
        " see [faces](faceid.md).",
        (Cell("", ({"model": "ip-adapter-faceid_sd15", "face": "ada", "lora_scale": 0.8},)),),
    ),
    Example(
        "which-face",
        "Which face, and what kind of file",
        "Of several faces `face_index` chooses one, the largest being 0; here in img2img's input picture. `kind` says"
        " what a file is that was renamed, and `shortcut_scale`, for FaceID-plus v2, how much the face's picture counts"
        " beside its embedding. Of several saved faces, or several pictures, `face_combine` makes one.",
        (
            Cell(
                "",
                (
                    {"model": "my-faces", "kind": "faceid-plusv2", "reference": "input", "face_index": 1}
                    | {"shortcut_scale": 0.8, "face_combine": "average"},
                ),
            ),
        ),
        job={"init_images": [picture("red-checks")], "denoising_strength": 0.6},
    ),
)
