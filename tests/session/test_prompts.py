"""An image prompt that was saved is the same prompt, without an encoder; for another adapter it is a sentence."""

from __future__ import annotations

import base64
import io
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save

from lib_ipadapter.errors import CheckpointError, UnitError
from lib_ipadapter.maths.embeds import ImagePromptEmbeds
from lib_ipadapter.model.prompt_file import SavedPrompt, thumbnail_of
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.prompts import GivenPrompt, list_prompts, path_for, prompt_folders, write_prompt
from lib_ipadapter.session.unit import Unit
from tests.models import save_adapter, tiny_adapter
from tests.session.fake_host import FakeHost, picture, unit


def generate(host: FakeHost, own: Unit) -> torch.Tensor:
    with Generation(host, [own], Library()):
        return host.run()


def saved(host: FakeHost, own: Unit) -> SavedPrompt:
    return Library().image_prompt(own, host.folder / "adapters" / f"{own.model}.safetensors", host)


def without_encoder(host: FakeHost) -> FakeHost:
    shutil.rmtree(host.folder / "encoders")
    return host


@pytest.mark.parametrize("nothing", [None, "", "None", " ", "\n None ", " " * 300])
def test_nothing_is_no_prompt(nothing: object) -> None:
    assert GivenPrompt.parse(nothing) is None


@pytest.mark.parametrize("values", [{}, {"images": [picture(1)]}, {"negative_image": picture(1)}])
def test_a_saved_prompt_draws_the_same_without_an_encoder(own_host: FakeHost, values: dict[str, object]) -> None:
    own = unit("plus", **values)
    wanted, prompt = generate(own_host, own), saved(own_host, own)
    write_prompt(prompt, path_for("dusk, red", prompt_folders(own_host.adapter_folders())))
    without_encoder(own_host)
    for embeds in ("dusk, red", "DUSK, red.safetensors", base64.b64encode(prompt.data()).decode()):
        again = Unit.parse({"embeds": embeds, "model": "plus", "scale": 1.0})
        assert torch.equal(generate(own_host, again), wanted)


def test_saving_again_under_the_same_name_counts(own_host: FakeHost) -> None:
    library, path = Library(), path_for("a", prompt_folders(own_host.adapter_folders()))
    found = []
    for seed in (0, 1):
        write_prompt(saved(own_host, unit("base", seed=seed)), path)
        found.append(
            library.key_values(Unit.parse({"embeds": "a"}), own_host.folder / "adapters" / "base.safetensors", own_host)
        )
    assert not torch.equal(found[0].layers[0].key, found[1].layers[0].key)


def test_what_is_kept_of_a_prompt_or_face_that_was_given_as_content_knows_it_by_its_hash(own_host: FakeHost) -> None:
    """A prompt's content may have 64 MB, which a bound of what is computed does not count."""
    library, path = Library(), own_host.folder / "adapters" / "base.safetensors"
    contents = [saved(own_host, unit("base", seed=seed)).data() for seed in (0, 1)]
    units = [Unit.parse({"embeds": base64.b64encode(content).decode(), "face": [1.0] * 512}) for content in contents]
    first, second = (library.key_values(own, path, own_host) for own in units)
    assert first is not second
    assert library.key_values(replace(units[0], scale=0.1), path, own_host) is first
    assert all(len(pickle.dumps(key)) < 4000 for key in library.computed._items)
    assert len(contents[0]) > 4000
    faces = [Unit.parse({"face": [value] * 512}) for value in (1.0, 2.0)]
    assert faces[0].shown != faces[1].shown


def test_prompts_of_one_name_in_two_folders_are_not_each_other(tmp_path: Path) -> None:
    """Of equal size and age, as a copied folder's are."""
    folders, given = [tmp_path / "one", tmp_path / "two"], GivenPrompt.parse("a")
    assert given is not None
    for folder in folders:
        path_for("a", [folder]).parent.mkdir()
        path_for("a", [folder]).write_bytes(save(PROMPT, ABOUT))
        os.utime(path_for("a", [folder]), ns=(1, 1))
    first, second = (given.identity([folder]) for folder in folders)
    assert first == given.identity(folders) != second


def test_for_another_adapter_it_is_one_sentence_that_names_its_own(own_host: FakeHost) -> None:
    content = base64.b64encode(saved(own_host, unit("base")).data()).decode()
    save_adapter(tiny_adapter(Kind.BASE, seed=9), own_host.folder / "adapters" / "base2.safetensors")
    for model in ("plus", "base2"):
        with pytest.raises(
            UnitError, match=rf"another adapter than {model}: with base \(base, SHA-256 .{{12}}\); choose"
        ):
            generate(own_host, Unit.parse({"embeds": content, "model": model}))


FORGED = {
    "too wide": (ImagePromptEmbeds(torch.ones(1, 4, 64), torch.ones(1, 4, 64)), r"tokens 64 wide, and base takes 48;"),
    "too many": (
        ImagePromptEmbeds(torch.ones(400, 700, 48), torch.ones(1, 700, 48)),
        r"401 rows of 700 image tokens take 2\.6 GB",
    ),
}


@pytest.mark.parametrize("kind", FORGED)
def test_tokens_that_an_adapter_cannot_have_made_are_a_sentence_whatever_the_file_says(
    kind: str, host: FakeHost
) -> None:
    embeds, said = FORGED[kind]
    content = base64.b64encode(replace(saved(host, unit("base")), embeds=embeds).data()).decode()
    own = Unit.parse({"embeds": content, "model": "base"})
    with pytest.raises(UnitError, match=said):
        Library().image_prompt(own, host.folder / "adapters" / "base.safetensors", host)


def test_a_prompt_that_is_not_there_is_a_sentence_with_what_is(own_host: FakeHost) -> None:
    write_prompt(saved(own_host, unit("base")), path_for("dawn", prompt_folders(own_host.adapter_folders())))
    with pytest.raises(UnitError, match="no saved image prompt called 'dusk'; found dawn in"):
        generate(own_host, Unit.parse({"embeds": "dusk", "model": "base"}))


@pytest.mark.parametrize("more", [{"negative_image": picture(1)}, {"noise": 0.5}])
def test_a_negative_picture_beside_a_saved_prompt_is_refused_and_not_left_out(more: dict[str, object]) -> None:
    with pytest.raises(UnitError, match="negative picture inside"):
        Unit.parse({"embeds": "dusk", "model": "base", **more}).check()


PROMPT = {"cond": torch.ones(1, 4, 8), "uncond": torch.zeros(1, 4, 8)}
ABOUT = {"format": "ip-adapter image prompt 1", "adapter_sha256": "0" * 64}

WRONG = {
    "empty": b"",
    "a web page": b"<html>" * 100,
    "other weights": save(PROMPT),
    "another version": save(PROMPT, {"format": "ip-adapter image prompt 9"}),
    "no tokens": save({"uncond": PROMPT["uncond"]}, ABOUT),
    "unequal": save(PROMPT | {"cond": torch.ones(1, 5, 8)}, ABOUT),
    "no numbers": save(PROMPT | {"cond": torch.full((1, 4, 8), float("nan"))}, ABOUT),
    "a picture in place of a thumbnail": save(PROMPT | {"thumbnail": torch.ones(1 << 19, dtype=torch.uint8)}, ABOUT),
    "cut short": save(PROMPT, ABOUT)[:-9],
    "a header that never ends": (1 << 62).to_bytes(8, "little") + b"{}",
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_whatever_is_no_saved_prompt_is_a_sentence(data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"^p\.safetensors .*save it again with `python") as refusal:
        SavedPrompt.parse(data, "p.safetensors")
    assert "\n" not in str(refusal.value)


def test_all_that_is_in_it_comes_back_and_the_thumbnail_is_small_and_only_pixels(host: FakeHost) -> None:
    large = Image.effect_noise((900, 300), 80).convert("RGB")
    large.getexif()[0x010E] = "a secret"
    prompt = saved(host, unit("base", image=large))
    again = SavedPrompt.parse(prompt.data(), "")
    assert torch.equal(again.embeds.cond, prompt.embeds.cond)
    assert (again.adapter, again.adapter_sha256, again.variant) == ("base", prompt.adapter_sha256, "base")
    shown = Image.open(io.BytesIO(again.thumbnail))
    assert max(shown.size) == 128
    assert b"secret" not in thumbnail_of(large)


@pytest.mark.parametrize("name", ["", "  ", "../a", "a/b", "C:\\a", ".hidden", "a" * 101, "nul\0"])
def test_a_name_leads_into_the_folder_and_nowhere_else(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnitError, match="must be called by"):
        path_for(name, [tmp_path])


def test_names_with_signs_survive(tmp_path: Path) -> None:
    for name in ("a, b", "ä 'quoted' 😀", "one.two"):
        path_for(name, [tmp_path]).touch()
        assert name in [file.name for file in list_prompts([tmp_path])]


def test_a_path_is_a_name_that_is_not_there_and_never_opened(tmp_path: Path) -> None:
    (tmp_path / "secret.safetensors").write_bytes(save(PROMPT, ABOUT))
    (tmp_path / "prompts").mkdir()
    given = GivenPrompt.parse(str(tmp_path / "secret.safetensors"))
    assert given is not None
    with pytest.raises(UnitError, match="no saved image prompt"):
        given.read([tmp_path / "prompts"])
