"""Whole runs on a tiny world: they learn, and save what loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.checkpoint
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lib_ipadapter.errors import HostError, TrainingError
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import PICTURE_KINDS, Base, Feature, Kind
from lib_ipadapter.model.weights_file import read_metadata
from lib_ipadapter.training.config import Precision, Weighting
from lib_ipadapter.training.frozen import Frozen, Item
from lib_ipadapter.training.loop import Loop
from tests.models import save_adapter, tiny_adapter
from tests.training.world import config, equal, metrics, run, save_pictures, save_sdxl_checkpoint, state


def colours_as_latents(_: Frozen, images: Sequence[Image.Image], size: int) -> list[Item]:
    """An autoencoder that an untrained one is not: one latent per 8 x 8 pixels, its channels those of the picture."""

    def item(image: Image.Image) -> Item:
        small = torch.tensor(list(image.resize((8, 8)).tobytes())).reshape(8, 8, 3).permute(2, 0, 1) / 127.5 - 1
        mean = torch.cat([small, small.mean(0, keepdim=True)])
        return {"moments": torch.cat([mean, torch.zeros_like(mean)]), "size": torch.zeros(6)}

    return [item(image) for image in images]


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_it_learns_what_the_reference_shows(
    kind: Kind, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Frozen, "encode_latents", colours_as_latents)
    data = save_pictures(tmp_path / "data", ("red", "lime"))
    run(world, tmp_path / "out", data=data, kind=kind, steps=16, batch_size=8, learning_rate=1e-2, eval_every=16)
    found = {name: value for line in metrics(tmp_path / "out") for name, value in line.items()}
    assert found["reference/right"] < 0.7 * found["reference/shuffled"]
    assert found["text/gap"] == 0, "all have one caption"


def test_how_much_the_text_says_is_measured(world: Path, tmp_path: Path) -> None:
    data = save_pictures(tmp_path / "data", ("red", "lime"))
    (data / "lime.txt").write_text("a green one")
    run(world, tmp_path / "out", data=data, steps=1, batch_size=2, full_precision=True)
    (found,) = [line for line in metrics(tmp_path / "out") if "text/gap" in line]
    assert found["text/gap"] == pytest.approx(found["text/shuffled"] - found["reference/right"], abs=1e-6) != 0


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_every_save_is_an_adapter_that_says_what_it_is(kind: Kind, world: Path, tmp_path: Path) -> None:
    run(world, tmp_path / "out", kind=kind, steps=3, save_every=1, keep=2)
    saved = sorted(path.name for path in (tmp_path / "out").glob("adapter-*"))
    assert saved == ["adapter-00000002.safetensors", "adapter-00000003.safetensors"]
    assert len(list((tmp_path / "out").glob("state-*"))) == 2
    path = tmp_path / "out" / "adapter-00000002.safetensors"
    adapter = IPAdapter.read(path)
    assert (adapter.variant.kind, adapter.variant.base) == (kind, Base.SD15)
    assert next(adapter.parameters()).dtype is torch.float16
    metadata = read_metadata(path)
    assert (metadata["steps"], metadata["rows"], metadata["variant"]) == ("2", "8", kind.value)
    assert len(metadata["data_hash"]) == 64
    assert metadata["encoder"].startswith("encoder: ")
    assert metadata["tokens"] == {Kind.BASE: "4", Kind.PLUS: "16", Kind.FULL: "17"}[kind]


def test_batches_and_accumulation_divide_the_same_rows(world: Path, tmp_path: Path) -> None:
    rows = {"learning_rate": 1e-3, "full_precision": True}
    whole = run(world, tmp_path / "whole", batch_size=4, **rows)
    parts = run(world, tmp_path / "parts", batch_size=2, accumulation=2, **rows)
    for key, tensor in whole.items():
        torch.testing.assert_close(parts[key], tensor, rtol=1e-4, atol=1e-5)
    norms = [metrics(tmp_path / name)[0]["grad_norm"] for name in ("whole", "parts")]
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)


def test_each_option_of_the_optimiser_has_an_effect(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path / "plain")
    for option in ({"weight_decay": 0.5}, {"max_grad_norm": 1e-6}, {"weighting": Weighting.EARLY}):
        (name,) = option
        run(world, tmp_path / name, **option)
        assert not equal(state(tmp_path / name, 2), state(tmp_path / "plain", 2)), name


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_warm_start_begins_where_the_adapter_ended(kind: Kind, world: Path, tmp_path: Path) -> None:
    adapter = tiny_adapter(kind)
    path = save_adapter(adapter, tmp_path / "published.safetensors")
    found = run(world, tmp_path / "out", warm_start=path, steps=1, learning_rate=0.0, full_precision=True)
    assert equal(found, adapter.state_dict())
    assert read_metadata(tmp_path / "out" / "adapter.safetensors")["warm_start"] == "published.safetensors"
    begun = metrics(tmp_path / "out")[0]
    assert (begun["step"], "reference/gap" in begun) == (0, True), "what it begins with is measured"


def test_a_full_adapter_takes_its_tokens_from_the_encoder_and_no_number_from_the_user(
    world: Path, tmp_path: Path
) -> None:
    for option in ("tokens", "resampler_dim"):
        with pytest.raises(TrainingError, match=rf"--{option.replace('_', '-')} must be left out with --kind full"):
            config(world, tmp_path, kind=Kind.FULL, **{option: 17})
    path = save_adapter(tiny_adapter(Kind.FULL), tmp_path / "full.safetensors")
    with pytest.raises(TrainingError, match=r"is a sd15 full, 1 \+ patches tokens, .* cannot go on as tokens 17"):
        run(world, tmp_path / "out", warm_start=path, tokens=17)


def test_samples_are_drawn_with_as_many_tokens_as_the_encoder_gives(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, kind=Kind.FULL, sample_every=2, sample_steps=2)
    with Image.open(tmp_path / "samples" / "00000002.png") as sheet:
        assert sheet.size == (4 * 64, 4 * 64 + 16)


def test_the_same_weights_draw_the_same_samples_at_every_step(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, steps=2, learning_rate=0.0, sample_every=1, sample_steps=2)
    sheets = [tmp_path / "samples" / f"0000000{step}.png" for step in (1, 2)]
    assert sheets[0].read_bytes() == sheets[1].read_bytes()


def test_warm_start_is_refused_where_it_does_not_fit(world: Path, tmp_path: Path) -> None:
    path = save_adapter(tiny_adapter(Kind.PLUS), tmp_path / "published.safetensors")
    with pytest.raises(TrainingError, match="cannot go on as kind base"):
        run(world, tmp_path / "out", warm_start=path, kind=Kind.BASE)
    with pytest.raises(HostError, match=r"SD1\.5, the checkpoint is SDXL"):
        run(world, tmp_path / "out", warm_start=path, checkpoint=save_sdxl_checkpoint(tmp_path / "sdxl"))


def test_a_full_gpu_is_a_sentence_wherever_it_fills(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.30 GiB")

    monkeypatch.setattr(Frozen, "encode_latents", full)
    with pytest.raises(TrainingError, match=r"GPU's memory is full \(CUDA out of memory.*smaller --batch-size"):
        run(world, tmp_path, cache=tmp_path / "cache")


def test_more_sample_steps_than_timesteps_are_refused_before_the_first_step(world: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--sample-steps must be at most 1000"):
        run(world, tmp_path, sample_steps=1001)


def test_a_batch_that_gives_no_number_is_named_and_not_saved(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(_: Frozen, images: Sequence[Image.Image], feature: Feature) -> list[Item]:
        return [{"features": torch.full((40,), float("nan") if i and i.getpixel((0, 0)) == (255, 0, 0) else 1.0)}
                for i in images]  # fmt: skip

    monkeypatch.setattr(Frozen, "encode_features", poisoned)
    with pytest.raises(TrainingError, match=r"not a number in step 1, for red\.png \(timestep \d+\): look"):
        run(world, tmp_path, batch_size=8, steps=1, drop_image=0, drop_both=0)
    assert not list(tmp_path.glob("adapter*"))


def test_a_gradient_that_is_no_number_is_named_by_its_own_step(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = iter((1.0, float("inf"), 1.0))
    monkeypatch.setattr(Loop, "_norm", lambda _: torch.tensor(next(norms)))
    with pytest.raises(TrainingError, match=r"The gradient is not a number in step 2, for "):
        run(world, tmp_path, steps=3)


def test_frozen_parts_are_half_and_trained_ones_float(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Frozen] = []
    predict = Frozen.predict
    monkeypatch.setattr(Frozen, "predict", lambda frozen, *given: (seen.append(frozen), predict(frozen, *given))[1])
    run(world, tmp_path, precision=Precision.BF16, gradient_checkpointing=True)
    for part in (seen[0].unet, *seen[0].text_encoders):
        assert {parameter.dtype for parameter in part.parameters()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in state(tmp_path, 2).values()} == {torch.float32}


def test_gradient_checkpointing_changes_nothing_but_memory(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointed, checkpoint = [], torch.utils.checkpoint.checkpoint

    def counting(*given: Any, **more: Any) -> Any:
        checkpointed.append(given[0])
        return checkpoint(*given, **more)

    monkeypatch.setattr("torch.utils.checkpoint.checkpoint", counting)
    plain = run(world, tmp_path / "plain", full_precision=True)
    assert not checkpointed
    assert equal(run(world, tmp_path / "checkpointing", full_precision=True, gradient_checkpointing=True), plain)
    assert checkpointed


def test_sdxl_is_trained_with_its_second_text_and_sizes(world: Path, tmp_path: Path) -> None:
    checkpoint = save_sdxl_checkpoint(tmp_path / "sdxl")
    run(world, tmp_path / "out", checkpoint=checkpoint, kind=Kind.PLUS, sample_every=2, sample_steps=2)
    assert IPAdapter.read(tmp_path / "out" / "adapter.safetensors").variant.base is Base.SDXL
    with Image.open(tmp_path / "out" / "samples" / "00000002.png") as sheet:
        assert sheet.size == (4 * 64, 4 * 64 + 16)


def test_a_single_file_of_original_keys_is_trained_on(world: Path, tmp_path: Path) -> None:
    from tests.hosts.originals import write_original, write_tokenizer  # ldm speaks when it is imported

    checkpoint = write_original(tmp_path / "single" / "tiny.safetensors")
    write_tokenizer(tmp_path / "single" / "tokenizer")
    run(world, tmp_path / "out", checkpoint=checkpoint, kind=Kind.PLUS)
    adapter = IPAdapter.read(tmp_path / "out" / "adapter.safetensors")
    assert (adapter.variant.base, adapter.variant.kind) == (Base.SD15, Kind.PLUS)


def test_curves_are_drawn(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, steps=4, log_every=2, eval_every=4)
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [2, 4, 4]
    assert {"loss/all", "grad_norm", "learning_rate", "dropped/both"} <= lines[0].keys()
    assert {"reference/right", "reference/shuffled", "reference/gap", "text/gap"} <= lines[2].keys()
    drawn = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for line in lines:
        for name in line.keys() - {"step"}:
            assert (line["step"], pytest.approx(line[name])) in [(s.step, s.value) for s in drawn.Scalars(name)]
