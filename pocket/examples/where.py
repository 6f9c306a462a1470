"""Regions of the picture."""

from __future__ import annotations

from pocket.examples.example import Cell, Example, picture, unit

LEFT = unit("purple-stripes", mask=picture("left-half"), scale=0.75)
RIGHT = unit("teal-spots", mask=picture("right-half"), scale=0.75)

WHERE = (
    Example(
        "mask",
        "Two pictures, each in its half",
        "A unit acts where its mask is white, or opaque. The mask lies over the whole picture that is made, and follows"
        ' "only masked" crops and hires fix; the reference is never cropped by it.',
        (
            Cell("no unit"),
            Cell("left", (LEFT,)),
            Cell("right", (RIGHT,)),
            Cell("both", (LEFT, RIGHT)),
        ),
        prompt="a small circle on the left and a small star on the right",
        seed=6,
    ),
    Example(
        "mask-edge",
        "Outside the mask, with a soft edge",
        "`region` says on which side of the mask, or of img2img's inpaint mask, a unit acts; `mask_blur` softens the"
        " edge by so many pixels of the mask.",
        (
            Cell("inside", (LEFT,)),
            Cell("inside, blur 24", ({**LEFT, "mask_blur": 24},)),
            Cell("outside, blur 24", ({**LEFT, "region": "outside the mask", "mask_blur": 24},)),
        ),
        prompt="a small circle on the left and a small star on the right",
    ),
    Example(
        "inpaint",
        "Where img2img draws anew",
        "`inside the inpaint mask` needs no mask of the unit's own; `outside the inpaint mask` matters"
        " where the rest is drawn too, as soft inpainting does.",
        (Cell("", (unit("purple-stripes", region="inside the inpaint mask"),)),),
        prompt="a circle",
        job={
            "init_images": [picture("red-checks")],
            "mask": picture("left-half"),
            "inpainting_fill": 1,
            "denoising_strength": 0.8,
        },
    ),
)
