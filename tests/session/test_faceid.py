"""The whole way of FaceID files: from a face to hooks on the UNet, and back to a UNet as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from lib_ipadapter.errors import AmbiguousError, IPAdapterError, UnitError
from lib_ipadapter.maths.embeds import ImagePromptEmbeds
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.face import FaceFeatures, aligned_crop, features, normed
from lib_ipadapter.model.face_file import write_face
from lib_ipadapter.model.insight import InsightFace
from lib_ipadapter.model.picture import encoder_view
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.moment import Moment
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.recognition import roots
from lib_ipadapter.session.unit import Unit
from tests.hooks import attributes, hook_count
from tests.model.faces import FakeAnalyser, face, portrait
from tests.models import save_adapter, tiny_adapter, tiny_encoder
from tests.session.fake_host import ROLES, FakeHost, run

LARGE, SMALL = face(1, scale=1.5), face(2, left=250, top=200, scale=0.5)
PICTURE = portrait(LARGE, SMALL)
KINDS = [Kind.FACEID, Kind.FACEID_PLUS, Kind.FACEID_PLUS_V2, Kind.PORTRAIT_UNNORM]
PLUS = [Kind.FACEID_PLUS, Kind.FACEID_PLUS_V2]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        save_adapter(tiny_adapter(kind), folder / "adapters" / f"ip-adapter-{kind.value}_sd15.safetensors")
    tiny_encoder().save_pretrained(folder / "encoders" / "tiny", safe_serialization=True)
    write_face(folder / "adapters" / "faces" / "two.safetensors", torch.tensor([LARGE.embedding, SMALL.embedding]))
    write_face(folder / "adapters" / "faces" / "one.safetensors", torch.tensor([LARGE.embedding]))
    return folder


@pytest.fixture
def faceid_host(files: Path) -> FakeHost:
    return FakeHost(files)


@pytest.fixture
def analyser() -> FakeAnalyser:
    return FakeAnalyser([SMALL, LARGE])


@pytest.fixture
def library(analyser: FakeAnalyser) -> Library:
    library = Library()
    library.faces.open_analyser = lambda _: analyser
    return library


def unit(of: Kind, **values: object) -> Unit:
    model = f"ip-adapter-{of.value}_sd15"
    return Unit.parse({"image": PICTURE, "model": model, "scale": 1.0} | values)


def generate(host: FakeHost, library: Library, unit: Unit, progress: float = 0.0) -> Tensor:
    with Generation(host, [unit], library):
        return host.run(progress)


def by_hand(host: FakeHost, kind: Kind, *faces: FaceFeatures, lora_scale: float = 1.0, **options: float) -> Tensor:
    """The same from the floors below, step by step; several faces stand side by side."""
    adapter = IPAdapter.read(host.folder / "adapters" / f"ip-adapter-{kind.value}_sd15.safetensors")
    encoder = ImageEncoder.read(host.folder / "encoders" / "tiny")
    tokens: list[list[Tensor]] = [[], []]
    for one in faces:
        rows = one.raw if kind is Kind.PORTRAIT_UNNORM else normed(one.raw)
        known, nothing = [rows], [torch.zeros_like(rows)]
        if kind in PLUS:
            known.append(encoder.encode(one.crop, host.device, host.dtype).hidden_states)
            nothing.append(encoder.encode_zeros(host.device, host.dtype).hidden_states)
        for found, parts in zip(tokens, (known, nothing), strict=True):
            found.append(adapter.project(*parts, **options))
    cond, uncond = (torch.cat(found, dim=1) for found in tokens)
    key_values = adapter.key_values(ImagePromptEmbeds(cond=cond, uncond=uncond).stacked())
    moment, branch = Moment(), ImageBranch(key_values, lora=adapter.lora, lora_scale=lora_scale)
    with torch.no_grad(), attach(host.loaded, [branch], moment):
        moment.begin_step(0.0, ROLES)
        return run(host.loaded)


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_picture_to_the_output_is_what_the_floors_below_give(
    kind: Kind, faceid_host: FakeHost, library: Library
) -> None:
    plain = run(faceid_host.loaded)
    out = generate(faceid_host, library, unit(kind))
    assert close(out, by_hand(faceid_host, kind, features(PICTURE, LARGE)))
    assert (out - plain).abs().max() > 1e-3


@pytest.mark.parametrize("kind", [Kind.FACEID, Kind.FACEID_PLUS])
def test_the_index_chooses_the_face(kind: Kind, faceid_host: FakeHost, library: Library) -> None:
    second = generate(faceid_host, library, unit(kind, face_index=1))
    assert close(second, by_hand(faceid_host, kind, features(PICTURE, SMALL)))
    assert not close(second, generate(faceid_host, library, unit(kind)))


def test_the_encoder_sees_the_aligned_face_and_not_the_picture(
    faceid_host: FakeHost, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    original = ImageEncoder.encode

    def encode(self: ImageEncoder, image, *where):
        seen.append(encoder_view(image, 56).tobytes())
        return original(self, image, *where)

    monkeypatch.setattr(ImageEncoder, "encode", encode)
    generate(faceid_host, library, unit(Kind.FACEID_PLUS))
    assert seen == [encoder_view(aligned_crop(PICTURE, LARGE.landmarks), 56).tobytes()]
    look = {"crop": "tiles", "background": "black", "sharpening": 1.0, "image_mask": PICTURE}
    generate(faceid_host, library, unit(Kind.FACEID_PLUS, **look))
    assert len(seen) == 1


def test_files_without_a_picture_part_need_no_encoder(own_files: FakeHost, library: Library) -> None:
    shutil.rmtree(own_files.folder / "encoders")
    generate(own_files, library, unit(Kind.FACEID))
    with pytest.raises(UnitError, match="No image encoder"):
        generate(own_files, library, unit(Kind.FACEID_PLUS))


@pytest.fixture
def own_files(files: Path, tmp_path: Path) -> FakeHost:
    """Its files may be changed."""
    return FakeHost(Path(shutil.copytree(files, tmp_path / "models")))


@pytest.mark.parametrize("kind", [Kind.FACEID, Kind.PORTRAIT_UNNORM])
@pytest.mark.parametrize("form", ["numbers", "name"])
def test_a_ready_made_face_is_the_same_as_that_of_the_picture_and_needs_neither_picture_nor_analyser(
    kind: Kind, form: str, faceid_host: FakeHost, library: Library
) -> None:
    wanted = generate(faceid_host, library, unit(kind))
    bare = Library()
    bare.faces.open_analyser = lambda _: pytest.fail("was opened")
    if form == "numbers":
        given: object = list(LARGE.embedding)
    else:
        given = "one"
    out = generate(faceid_host, bare, unit(kind, image=None, face=given))
    assert close(out, wanted)


def test_beside_a_ready_made_face_a_picture_of_the_crops_size_is_the_crop(
    faceid_host: FakeHost, library: Library
) -> None:
    wanted = generate(faceid_host, library, unit(Kind.FACEID_PLUS))
    bare = Library()
    bare.faces.open_analyser = lambda _: pytest.fail("was opened")
    crop = aligned_crop(PICTURE, LARGE.landmarks)
    out = generate(faceid_host, bare, unit(Kind.FACEID_PLUS, image=crop, face=list(LARGE.embedding)))
    assert close(out, wanted)


def test_several_faces_stand_side_by_side_or_become_one(faceid_host: FakeHost, library: Library) -> None:
    both = [features(PICTURE, one) for one in (LARGE, SMALL)]
    apart = generate(faceid_host, library, unit(Kind.FACEID, image=None, face="two", face_combine="concat"))
    assert close(apart, by_hand(faceid_host, Kind.FACEID, *both))
    mean = normed(both[0].raw) + normed(both[1].raw)
    between = FaceFeatures(raw=mean, crop=PICTURE)
    together = generate(faceid_host, library, unit(Kind.FACEID, image=None, face="two"))
    assert close(together, by_hand(faceid_host, Kind.FACEID, between))
    assert not close(apart, together)


def test_of_several_pictures_the_faces_are_combined_in_their_own_way(
    faceid_host: FakeHost, library: Library, analyser: FakeAnalyser
) -> None:
    """`concat` is what `combine` says by itself: nobody can tell whether it was meant."""
    analyser.faces = lambda image: [LARGE if image.width > image.height else SMALL]  # pyright: ignore
    pictures = {"image": PICTURE, "images": [PICTURE.transpose(Image.Transpose.TRANSPOSE)], "combine": "concat"}
    for way in ("average", "concat"):
        found = generate(faceid_host, library, unit(Kind.FACEID, face_combine=way, **pictures))
        saved = unit(Kind.FACEID, image=None, face="two", face_combine=way)
        assert close(found, generate(faceid_host, library, saved))
    assert faceid_host.remarks == []


def test_side_by_side_faces_of_plus_files_share_the_picture(faceid_host: FakeHost, library: Library) -> None:
    values = {"face": [LARGE.embedding, SMALL.embedding], "face_combine": "concat"}
    out = generate(faceid_host, library, unit(Kind.FACEID_PLUS_V2, **values))
    crop = features(PICTURE, LARGE).crop
    both = [FaceFeatures(one.raw, crop) for one in (features(PICTURE, f) for f in (LARGE, SMALL))]
    assert close(out, by_hand(faceid_host, Kind.FACEID_PLUS_V2, *both))


def test_pictures_beyond_the_faces_of_a_file_are_told(faceid_host: FakeHost, library: Library) -> None:
    generate(faceid_host, library, unit(Kind.FACEID_PLUS, face="two", images=[PICTURE]))
    assert faceid_host.remarks == []
    generate(faceid_host, library, unit(Kind.FACEID_PLUS, face="one", images=[PICTURE]))
    (said,) = faceid_host.remarks
    assert "images of the unit" in said
    assert "beyond the first 1: face holds 1" in said


def test_the_shortcut_scale_matters_to_version_two_alone(faceid_host: FakeHost, library: Library) -> None:
    one = features(PICTURE, LARGE)
    out = generate(faceid_host, library, unit(Kind.FACEID_PLUS_V2, shortcut_scale=0.3))
    assert close(out, by_hand(faceid_host, Kind.FACEID_PLUS_V2, one, shortcut_scale=0.3))
    assert not close(out, generate(faceid_host, library, unit(Kind.FACEID_PLUS_V2)))
    first = [generate(faceid_host, library, unit(Kind.FACEID_PLUS, shortcut_scale=s)) for s in (0.3, 1.0)]
    assert torch.equal(*first)


@pytest.mark.parametrize("lora_scale", [0.0, 0.5])
def test_the_lora_has_a_strength_of_its_own(lora_scale: float, faceid_host: FakeHost, library: Library) -> None:
    out = generate(faceid_host, library, unit(Kind.FACEID, lora_scale=lora_scale))
    assert close(out, by_hand(faceid_host, Kind.FACEID, features(PICTURE, LARGE), lora_scale=lora_scale))
    assert not close(out, generate(faceid_host, library, unit(Kind.FACEID)))


def test_two_units_of_one_file_have_its_lora_once_though_it_was_read_twice(
    faceid_host: FakeHost, library: Library
) -> None:
    units = [unit(Kind.FACEID), unit(Kind.FACEID, face_index=1, kind="auto", lora_scale=0.5)]
    library.adapters.limit = 0  # as where other files between the two push it out
    read: list[object] = []
    original = library.adapter
    library.adapter = lambda *about: read.append(library.adapters.clear()) or original(*about)
    with Generation(faceid_host, units, library) as generation:
        one, other = generation.branches
        assert one.lora is other.lora
    assert len(read) > 2
    assert generation.branches == []


def test_the_lora_is_there_in_the_steps_of_its_unit_only(faceid_host: FakeHost, library: Library) -> None:
    plain = run(faceid_host.loaded)
    acted = []
    for step in range(4):
        out = generate(faceid_host, library, unit(Kind.FACEID, start=0.25, end=0.75), progress=step / 4)
        acted.append(not torch.equal(out, plain))
    assert acted == [False, True, True, False]


@pytest.mark.parametrize("kind", KINDS)
def test_afterwards_the_unet_is_as_before(kind: Kind, faceid_host: FakeHost, library: Library) -> None:
    plain, written = run(faceid_host.loaded), attributes(faceid_host.loaded)
    generate(faceid_host, library, unit(kind))
    assert hook_count(faceid_host.loaded) == 0
    assert attributes(faceid_host.loaded) == written
    assert torch.equal(run(faceid_host.loaded), plain)


def test_a_picture_is_analysed_once_until_everything_is_unloaded(
    faceid_host: FakeHost, library: Library, analyser: FakeAnalyser
) -> None:
    opened: list[object] = []
    library.faces.open_analyser = lambda roots: opened.append(roots) or analyser
    for kind in (Kind.FACEID, Kind.FACEID_PLUS, Kind.PORTRAIT_UNNORM, Kind.FACEID):
        generate(faceid_host, library, unit(kind, face_index=len(analyser.asked) % 2))
    assert (len(opened), len(analyser.asked)) == (1, 1)
    library.unload()
    generate(faceid_host, library, unit(Kind.FACEID))
    assert (len(opened), len(analyser.asked)) == (2, 2)


def test_unloading_counts_the_faces_that_are_freed(faceid_host: FakeHost, library: Library) -> None:
    library.faces.features(PICTURE, unit(Kind.FACEID), faceid_host)
    held = library.faces.found.nbytes
    assert library.unload() == held > 0
    assert library.unload() == 0


def test_a_saved_face_that_was_written_anew_is_read_again(own_files: FakeHost, library: Library) -> None:
    saved = own_files.folder / "adapters" / "faces" / "me.npy"
    write_face(saved, torch.tensor([LARGE.embedding]))
    before = generate(own_files, library, unit(Kind.FACEID, image=None, face="me"))
    write_face(saved, torch.tensor([SMALL.embedding, LARGE.embedding]))
    assert not close(generate(own_files, library, unit(Kind.FACEID, image=None, face="me")), before)


def test_saved_faces_of_one_name_in_two_folders_are_not_each_other(faceid_host: FakeHost, tmp_path: Path) -> None:
    there = faceid_host.folder / "adapters" / "faces" / "one.safetensors"
    copy = tmp_path / "adapters" / "faces" / "one.safetensors"
    copy.parent.mkdir(parents=True)
    shutil.copy2(there, copy)
    own = unit(Kind.FACEID, image=None, face="one")
    first, second = (Library().faces.identity(own, host) for host in (faceid_host, FakeHost(tmp_path)))
    assert first != second


def twin(host: FakeHost) -> str:
    """FaceID-plus, of which nothing says whether it is of version 1 or 2."""
    save_file(tiny_adapter(Kind.FACEID_PLUS).tensors(), host.folder / "adapters" / "mine.safetensors")
    return "mine"


def test_what_a_file_does_not_tell_the_user_says(own_files: FakeHost, library: Library) -> None:
    name = twin(own_files)
    with pytest.raises(AmbiguousError, match=r"set the field kind to faceid-plus or faceid-plusv2\.$"):
        generate(own_files, library, unit(Kind.FACEID_PLUS, model=name))
    for kind in PLUS:
        told = generate(own_files, library, unit(kind, model=name, kind=kind.value))
        save_adapter(tiny_adapter(Kind.FACEID_PLUS), own_files.folder / "adapters" / f"ip-adapter-{kind.value}_x.bin")
        assert close(told, generate(own_files, library, unit(kind, model=f"ip-adapter-{kind.value}_x")))


OTHERS = {
    "negative picture": {},
    "negative picture with noise": {"noise": 0.5},
    "picture for the composition": {"weight_type": "style and composition"},
}


@pytest.mark.parametrize("called", OTHERS)
def test_the_index_chooses_in_the_reference_picture_alone(
    called: str, faceid_host: FakeHost, library: Library, analyser: FakeAnalyser
) -> None:
    """Another picture may well have one face only, and where it has none it is called by its name."""
    other = portrait(LARGE, size=(380, 300))
    field = "composition_image" if "weight_type" in OTHERS[called] else "negative_image"
    own = unit(Kind.FACEID_PLUS, face_index=1, **{field: other}, **OTHERS[called])
    found = {PICTURE.size: [SMALL, LARGE], other.size: [LARGE]}
    analyser.faces = lambda image: found[image.size]
    generate(faceid_host, library, own)
    found[other.size] = []
    library.faces.unload()
    library.faces.open_analyser = lambda _: analyser
    library.computed.clear()
    with pytest.raises(UnitError, match=rf"No face was found in the {called.removesuffix(' with noise')};"):
        generate(faceid_host, library, own)


def test_noise_in_the_reference_is_put_on_the_face_that_was_chosen(
    faceid_host: FakeHost, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = library.faces.features

    def features_of(image: Image.Image, own: Unit, host: FakeHost) -> FaceFeatures:
        seen.append(own.face_index)
        return original(image, own, host)

    monkeypatch.setattr(library.faces, "features", features_of)
    generate(faceid_host, library, unit(Kind.FACEID_PLUS, face_index=1, noise=0.5))
    assert set(seen) == {1}


FAILURES: dict[str, tuple[dict[str, object], list[object], str]] = {
    "no face": ({}, [], "No face was found in the reference picture"),
    "too few": ({"face_index": 1}, [LARGE], "face_index is 1, .* one face only"),
    "no picture": ({"image": None, "face": [1.0] * 512, "model": "ip-adapter-faceid-plus_sd15"}, [LARGE], "reference"),
    "noise of a face": ({"image": None, "face": [1.0] * 512, "noise": 0.5}, [LARGE], "has no noise; set noise to 0"),
    "no saved face": ({"face": "nobody"}, [LARGE], "There is no saved face called 'nobody'; found one, two in"),
    "a kind it cannot be": ({"kind": "plus"}, [LARGE], "is no plus adapter: by its shapes it is faceid"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_one_sentence_before_sampling_and_leaves_nothing(
    failure: str, own_files: FakeHost, library: Library, analyser: FakeAnalyser
) -> None:
    values, analyser.found, words = FAILURES[failure]
    with pytest.raises(IPAdapterError, match=words) as error:
        generate(own_files, library, unit(Kind.FACEID, **values))
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")
    assert (hook_count(own_files.loaded), own_files.listeners) == (0, [])


def test_the_real_analyser_is_looked_for_beside_the_encoders(faceid_host: FakeHost) -> None:
    library, asked = Library(), []
    assert library.faces.open_analyser == InsightFace.open
    library.faces.open_analyser = lambda roots: asked.extend(roots) or FakeAnalyser([LARGE])
    generate(faceid_host, library, unit(Kind.FACEID))
    assert asked == [faceid_host.folder / "insightface", Path.home() / ".insightface"]
    faceid_host.encoder_folders = lambda: [faceid_host.folder / "encoders" / "tiny"]
    assert roots(faceid_host.encoder_folders())[0] == faceid_host.folder / "insightface", (
        "beside the folder of one that is named itself"
    )
