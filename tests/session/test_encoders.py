"""The encoder that fits an adapter is found, or a sentence says which is needed."""

from __future__ import annotations

import pytest

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.variant import PICTURE_KINDS, Kind
from lib_ipadapter.session.library import Library
from tests.models import tiny_encoder, variant
from tests.session.fake_host import FakeHost


def test_the_encoder_is_found_by_the_width_that_the_adapter_is_fed_with(own_host: FakeHost) -> None:
    folder = own_host.folder / "encoders"
    (folder / "aaa").mkdir()
    (folder / "aaa" / "config.json").write_text('{"hidden_size": 1280, "patch_size": 14, "projection_dim": 1024}')
    (folder / "aaa" / "model.safetensors").touch()
    (folder / "junk.safetensors").write_text("junk")
    for kind in PICTURE_KINDS:
        assert Library().find_encoder(variant(kind), [folder]) == folder / "tiny"


def test_no_encoder_is_one_sentence_that_says_which_is_needed_what_is_there_and_where_to_put_it(
    own_host: FakeHost,
) -> None:
    folder = own_host.folder / "encoders"
    (folder / "tiny" / "config.json").write_text('{"hidden_size": 1280, "patch_size": 14, "projection_dim": 1024}')
    words = (
        r"one that is not published, image_embeds 40 wide; searched .*encoders;"
        r" also there: tiny \(its image_embeds are 1024 wide\); put its folder or file into .*encoders\."
    )
    with pytest.raises(UnitError, match=words):
        Library().find_encoder(variant(Kind.BASE), [folder])


def test_an_encoder_asked_for_by_name_is_the_one_that_is_used(own_host: FakeHost) -> None:
    folder = own_host.folder / "encoders"
    tiny_encoder(seed=7).save_pretrained(folder / "sub" / "Zwei", safe_serialization=True)
    for name in ("sub/Zwei", "SUB/zwei", " zwei"):
        assert Library().find_encoder(variant(Kind.BASE), [folder], name) == folder / "sub" / "Zwei"


def test_an_encoder_of_the_wrong_width_is_refused_by_name_and_never_chosen(own_host: FakeHost) -> None:
    folder = own_host.folder / "encoders"
    tiny_encoder(embed=24).save_pretrained(folder / "aaa", safe_serialization=True)
    assert Library().find_encoder(variant(Kind.BASE), [folder]) == folder / "tiny"
    words = r"encoder 'aaa' cannot serve this adapter, it needs .* 40 wide: its image_embeds are 24 wide; leave"
    with pytest.raises(UnitError, match=words):
        Library().find_encoder(variant(Kind.BASE), [folder], "aaa")


def test_an_encoder_that_is_not_there_is_a_sentence_with_what_is(own_host: FakeHost) -> None:
    folder = own_host.folder / "encoders"
    (folder / "tini.safetensors").touch()
    words = r"no image encoder called 'tyni': .*; also there: tin. \(.*\), tin. \(.*\); put"
    with pytest.raises(UnitError, match=words) as refusal:
        Library().find_encoder(variant(Kind.BASE), [folder], "tyni")
    assert "tiny (it fits)" in str(refusal.value)
    assert "tini (is an empty file)" in str(refusal.value)
