"""What goes wrong in a job is one sentence, in the page, in the API and, if asked for, in the picture's parameters."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lib_ipadapter.model import checkpoint
from lib_ipadapter.model.variant import Kind
from tests.models import tiny_adapter
from tests.webui.fake_host import FakeProcessing, FakeWebUI
from tests.webui.jobs import UNIT, run

WRONG = [
    (UNIT | {"model": "nope"}, "no IP-Adapter model called 'nope'"),
    (UNIT | {"image": "????"}, "base64"),
    (UNIT | {"image": None}, "without a reference picture"),
    (UNIT | {"model": None}, "without a model"),
    (UNIT | {"weight": 1}, "no field 'weight'"),
]


@pytest.mark.parametrize(("unit", "said"), WRONG)
def test_a_failure_ends_the_job_with_its_sentence(webui: FakeWebUI, door: Any, unit: Any, said: str) -> None:
    from fastapi import HTTPException

    with pytest.raises(HTTPException, match=said) as caught:
        run(webui, door, unit)
    assert caught.value.status_code == 422
    assert str(caught.value) == caught.value.detail
    assert (webui.hooks, webui.callbacks) == (0, [])


@pytest.mark.parametrize(("unit", "said"), WRONG)
def test_with_the_setting_it_goes_on_and_the_parameters_say_so(
    webui: FakeWebUI, door: Any, unit: Any, said: str
) -> None:
    plain = webui.sample()
    webui.opts.data["ip_adapter_go_on"] = True
    latent, processing = run(webui, door, unit)
    assert torch.equal(latent, plain)
    assert set(processing.extra_generation_params) == {"IP-Adapter error"}
    assert said in processing.extra_generation_params["IP-Adapter error"]
    assert len(processing.comments) == 1


def test_an_adapter_for_another_checkpoint_is_a_sentence(webui: FakeWebUI, door: Any) -> None:
    webui.unet = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(Exception, match="no cross-attention layers"):
        run(webui, door, UNIT)


def test_without_an_encoder_the_sentence_says_which_is_needed(webui: FakeWebUI, door: Any) -> None:
    (webui.data / "models/clip_vision/tiny/config.json").unlink()
    with pytest.raises(Exception, match=r"No image encoder .* image_embeds 40 wide"):
        run(webui, door, UNIT)


def split_batch(unet: torch.nn.Module) -> None:
    """As NegPiP does: attention is called on half of the rows."""
    attention = next(m for name, m in unet.named_modules() if name.endswith("attn2"))
    whole = attention.forward
    attention.forward = lambda x, **kwargs: torch.cat(  # pyright: ignore
        [whole(a[None], encoder_hidden_states=b[None]) for a, b in zip(x, kwargs["encoder_hidden_states"], strict=True)]
    )


def never_reach_a_layer(unet: torch.nn.Module) -> None:
    """As a compiled UNet does."""
    unet.forward = lambda sample, *_: type("Output", (), {"sample": sample})()  # pyright: ignore


MIDWAY = [(split_batch, "divides the batch"), (never_reach_a_layer, "without its own cross-attention layers")]


@pytest.mark.parametrize(("hinder", "said"), MIDWAY)
def test_a_failure_in_the_middle_of_sampling_is_a_sentence_too(
    webui: FakeWebUI, door: Any, hinder: Any, said: str
) -> None:
    from fastapi import HTTPException

    hinder(webui.unet)
    with pytest.raises(HTTPException, match=said) as caught:
        run(webui, door, UNIT)
    assert caught.value.status_code == 422


@pytest.mark.parametrize(("hinder", "said"), MIDWAY)
def test_with_the_setting_it_goes_on_from_the_middle_of_sampling_as_well(
    webui: FakeWebUI, door: Any, hinder: Any, said: str
) -> None:
    hinder(webui.unet)
    webui.opts.data["ip_adapter_go_on"] = True
    plain = webui.sample()
    latent, processing = run(webui, door, UNIT)
    assert set(processing.extra_generation_params) == {"IP-Adapter error"}
    assert said in processing.extra_generation_params["IP-Adapter error"]
    assert torch.equal(latent, plain)
    assert (webui.hooks, webui.callbacks) == (0, [])


def test_no_folder_of_this_machine_is_published_with_a_picture(webui: FakeWebUI, door: Any) -> None:
    webui.opts.data["ip_adapter_go_on"] = True
    for unit in (UNIT | {"model": "nope"}, UNIT):
        (webui.data / "models/clip_vision/tiny/config.json").unlink(missing_ok=True)
        _, processing = run(webui, door, unit)
        assert str(webui.data) not in str(processing.extra_generation_params)


def test_a_failure_that_was_never_said_is_gone_with_its_job(webui: FakeWebUI, door: Any) -> None:
    """As where another script fails between the announcement of a sampling and its first step."""
    processing = FakeProcessing()
    door.before_sampling(processing, [UNIT | {"model": "nope"}])
    assert webui.hooks == 1
    del processing
    gc.collect()
    assert webui.hooks == 0
    webui.sample()


def test_while_a_failure_waits_to_be_said_nothing_that_was_read_for_it_is_held(
    webui: FakeWebUI, door: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "models/ip-adapter/ip-adapter_sd15.safetensors"
    tensors = dict(tiny_adapter(Kind.BASE).state_dict())
    del tensors["ip_adapter.31.to_v_ip.weight"]
    save_file(tensors, path)
    held: list[weakref.ref[torch.Tensor]] = []

    def watched(where: Path) -> dict[str, torch.Tensor]:
        found = checkpoint.read(where)
        held.extend(map(weakref.ref, found.values()))
        return found

    monkeypatch.setattr("lib_ipadapter.model.adapter.read", watched)
    processing = FakeProcessing()
    door.before_sampling(processing, [UNIT])
    gc.collect()
    assert len(held) > 30
    assert [ref for ref in held if ref() is not None] == []
    with pytest.raises(Exception, match="is incomplete"):
        webui.sample()
