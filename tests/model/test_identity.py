"""Kinds with the same shapes: metadata, then content, then the name tell them apart, and else the user does."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_ipadapter.errors import AmbiguousError, CheckpointError
from lib_ipadapter.model import identity
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.convert import convert_file
from lib_ipadapter.model.identity import INSTANT_ID, Depth, Known, identify
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.weights_file import sha256
from tests.models import save_adapter, tiny_adapter
from tests.recorded import recorded, sparse

TWINS = [Kind.FACEID_PLUS, Kind.FACEID_PLUS_V2]


def saved(folder: Path, name: str, kind: Kind = Kind.FACEID_PLUS) -> Path:
    return save_adapter(tiny_adapter(kind), folder / name)


def tiny() -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in tiny_adapter(Kind.FACEID_PLUS).tensors().items()}


def publish(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, size: int | None = None) -> None:
    """As though `path`, as it is now, had been published."""
    monkeypatch.setattr(identity, "KNOWN", {"one": Known(kind, size or path.stat().st_size, sha256(path))})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ip-adapter-faceid-plus_sd15.bin", Kind.FACEID_PLUS),
        ("ip-adapter-faceid-plusv2_sd15.bin", Kind.FACEID_PLUS_V2),
        ("IP-Adapter-FaceID-PlusV2_SDXL.safetensors", Kind.FACEID_PLUS_V2),
        ("faceid plus v2.safetensors", Kind.FACEID_PLUS_V2),
        ("face_id_plus.safetensors", Kind.FACEID_PLUS),
    ],
)
def test_the_published_names_tell(name: str, kind: Kind, tmp_path: Path) -> None:
    assert identify(saved(tmp_path, name)).kind is kind
    assert IPAdapter.read(tmp_path / name).variant.kind is kind


@pytest.mark.parametrize("name", ["mine.safetensors", "plus_v2.safetensors", "faceid-plus-v3.bin", "unnorm.bin"])
def test_what_nothing_tells_is_never_guessed_and_has_choices(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, name)
    for read in (identify, IPAdapter.read):
        with pytest.raises(AmbiguousError, match=f"{name} may be faceid-plus or faceid-plusv2") as question:
            read(path)
        assert list(question.value.choices) == TWINS
        assert "\n" not in str(question.value)


def test_the_name_of_a_training_checkpoints_folder_tells_too(tmp_path: Path) -> None:
    folder = tmp_path / "my faceid-plusv2"
    saved(folder, "pytorch_model.bin")
    assert convert_file(folder, tmp_path / "a.safetensors")[1].kind is Kind.FACEID_PLUS_V2
    folder.rename(tmp_path / "mine")
    with pytest.raises(AmbiguousError, match="mine may be"):
        convert_file(tmp_path / "mine", tmp_path / "b.safetensors")


@pytest.mark.parametrize("kind", TWINS)
def test_the_users_choice_outweighs_the_name(kind: Kind, tmp_path: Path) -> None:
    path = saved(tmp_path, "ip-adapter-faceid-plusv2_sd15.safetensors")
    assert identify(path, kind).kind is kind
    assert IPAdapter.read(path, kind).variant.kind is kind


def test_a_choice_never_outweighs_the_shapes(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"a\.safetensors is no base adapter: .* faceid-plusv2; choose one of those"
    ):
        identify(saved(tmp_path, "a.safetensors"), Kind.BASE)
    with pytest.raises(
        CheckpointError, match=r"b\.safetensors is no faceid-plus adapter: .* is base; leave the kind unsaid"
    ):
        identify(saved(tmp_path, "b.safetensors", Kind.BASE), Kind.FACEID_PLUS)


def test_metadata_outweighs_the_content_and_the_content_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = tiny()
    path = sparse(tmp_path / "ip-adapter-faceid-plus_sd15.safetensors", shapes)
    assert identify(path).kind is Kind.FACEID_PLUS
    publish(path, Kind.FACEID_PLUS_V2, monkeypatch)
    assert identify(path).kind is identify(path, depth=Depth.HEADER).kind is Kind.FACEID_PLUS_V2
    path = sparse(path, shapes, {"variant": "faceid-plus"})
    publish(path, Kind.FACEID_PLUS_V2, monkeypatch)
    assert identify(path).kind is identify(path, depth=Depth.HEADER).kind is Kind.FACEID_PLUS


def test_metadata_of_another_kind_tells_nothing(tmp_path: Path) -> None:
    shapes = tiny()
    with pytest.raises(AmbiguousError):
        identify(sparse(tmp_path / "a.safetensors", shapes, {"variant": "base"}))


def test_the_content_is_read_only_where_shapes_and_metadata_do_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "sha256", lambda _: pytest.fail("the whole file was read"))
    assert identify(saved(tmp_path, "mine.safetensors", Kind.FACEID)).kind is Kind.FACEID
    shapes = tiny()
    sure = sparse(tmp_path / "b.safetensors", shapes, {"variant": "faceid-plusv2"})
    assert identify(sure).kind is Kind.FACEID_PLUS_V2


def test_a_list_takes_the_size_for_the_content_and_opening_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, "mine.safetensors")
    publish(path, Kind.FACEID_PLUS_V2, monkeypatch)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert identify(path, depth=Depth.HEADER).kind is Kind.FACEID_PLUS_V2
    with pytest.raises(AmbiguousError):
        identify(path)


def test_only_a_file_of_a_published_size_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "ip-adapter-faceid-plusv2_sd15.safetensors")
    publish(path, Kind.FACEID_PLUS, monkeypatch, size=path.stat().st_size + 1)
    monkeypatch.setattr(identity, "sha256", lambda _: pytest.fail("the whole file was read"))
    assert identify(path).kind is Kind.FACEID_PLUS_V2


def test_a_published_file_whose_size_is_not_known_is_known_by_its_content_when_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, "mine.safetensors")
    monkeypatch.setattr(identity, "KNOWN", {"one": Known(Kind.FACEID_PLUS, None, sha256(path))})
    assert identify(path).kind is Kind.FACEID_PLUS
    with pytest.raises(AmbiguousError):
        identify(path, depth=Depth.HEADER)


def test_a_published_file_that_has_other_shapes_asks_for_no_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sparse(tmp_path / "mine.safetensors", recorded("ip-adapter-faceid-portrait_sdxl_unnorm"))
    monkeypatch.setattr(identity, "sha256", lambda _: pytest.fail("the whole file was read"))
    assert any(known.size is None for known in identity.KNOWN.values())
    with pytest.raises(AmbiguousError):
        identify(path)


def test_instantid_is_refused_in_a_list_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sparse(tmp_path / "ip-adapter.bin", recorded("instantid"))
    monkeypatch.setattr(identity, "KNOWN", {"one": Known(INSTANT_ID, path.stat().st_size, "")})
    with pytest.raises(CheckpointError, match="is InstantID"):
        identify(path, depth=Depth.HEADER)


def test_a_resampler_over_512_may_be_instantid_and_only_the_name_or_content_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "sha256", lambda _: "")  # gigabytes of nothing
    shapes = recorded("instantid")
    assert shapes == recorded("ip-adapter-faceid-portrait_sdxl_unnorm")
    with pytest.raises(AmbiguousError, match=r"may be portrait-unnorm or plus .* or InstantID") as question:
        identify(sparse(tmp_path / "ip-adapter.bin", shapes))
    assert list(question.value.choices) == [Kind.PORTRAIT_UNNORM, Kind.PLUS]
    for kind in (Kind.PORTRAIT_UNNORM, Kind.PLUS):
        assert identify(tmp_path / "ip-adapter.bin", kind).kind is kind
    with pytest.raises(CheckpointError, match="is InstantID"):
        identify(sparse(tmp_path / "ip-adapter_instant_id_sdxl.bin", shapes))


def test_an_ambiguous_error_that_is_raised_again_keeps_its_choices() -> None:
    error = AmbiguousError("A sentence.", ("one", "two"))
    again = type(error)(*error.args)
    assert (str(again), again.choices) == ("A sentence.", ("one", "two"))
