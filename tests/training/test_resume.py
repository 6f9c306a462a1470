"""A run goes on bit for bit, or says why it does not."""

from __future__ import annotations

import errno
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.weights_file import read_metadata
from lib_ipadapter.training import loop, saving
from lib_ipadapter.training.config import Decay, Weighting
from lib_ipadapter.training.estimate import Estimate, estimate
from lib_ipadapter.training.frozen import Frozen
from lib_ipadapter.training.output import check_output
from lib_ipadapter.training.resuming import _check_engine
from lib_ipadapter.training.run import train
from lib_ipadapter.training.samples import Samples
from lib_ipadapter.training.saving import Position, Saves, adapter_path, step_of
from tests.training.world import config, equal, metrics, run, state


def test_a_run_that_was_interrupted_continues_bit_for_bit(world: Path, tmp_path: Path) -> None:
    rows = {"batch_size": 3, "accumulation": 2, "save_every": 2, "warmup": 3, "kind": Kind.PLUS}
    run(world, tmp_path / "whole", steps=5, **rows)
    run(world, tmp_path / "parts", steps=2, **rows)
    torch.manual_seed(99)
    run(world, tmp_path / "parts", steps=5, resume=True, **rows)
    assert equal(state(tmp_path / "whole", 5), state(tmp_path / "parts", 5))
    optimisers = [
        torch.load(tmp_path / part / "state-00000005" / "optimizer.bin", weights_only=True)["state"]
        for part in ("whole", "parts")
    ]
    moments = [{f"{i}.{k}": torch.as_tensor(v) for i, s in o.items() for k, v in s.items()} for o in optimisers]
    assert equal(*moments)
    curves = [[line.get("loss/all") for line in metrics(tmp_path / part)] for part in ("whole", "parts")]
    assert curves[1] == [curves[0][0], None, *curves[0][1:]]  # the part that ended looked at its references


def test_a_run_goes_on_with_another_accumulation_as_if_nothing_had_changed(world: Path, tmp_path: Path) -> None:
    for name in ("same", "other"):
        run(world, tmp_path / name, steps=3, learning_rate=1e-3)
    run(world, tmp_path / "same", steps=6, learning_rate=1e-3, resume=True)
    run(world, tmp_path / "other", steps=6, learning_rate=1e-3, resume=True, batch_size=1, accumulation=4)
    same, other = (state(tmp_path / name, 6) for name in ("same", "other"))
    for key, tensor in same.items():
        torch.testing.assert_close(other[key], tensor, rtol=1e-4, atol=1e-5)


def test_a_run_is_not_written_over_unless_it_goes_on(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(world, tmp_path, steps=1)
    with pytest.raises(TrainingError, match="holds a run already; give --resume"):
        run(world, tmp_path, steps=2)
    run(world, tmp_path, steps=1, resume=True)
    run(world, tmp_path, steps=2, resume=True)
    last = (tmp_path / "adapter.safetensors").read_bytes()
    monkeypatch.setattr(Frozen, "read", lambda *_: pytest.fail("models are read for nothing"))
    run(world, tmp_path, steps=1, resume=True)  # fewer than are done
    assert (tmp_path / "adapter.safetensors").read_bytes() == last
    assert read_metadata(tmp_path / "adapter.safetensors")["steps"] == "2"


def test_one_command_begins_and_goes_on(world: Path, tmp_path: Path) -> None:
    """As a queue repeats it."""
    (tmp_path / "state-00000001-kept").mkdir()  # somebody's own, and no state
    for steps, said in ((1, "holds no state to go on from: this is the beginning"), (2, "Going on from")):
        lines: list[str] = []
        train(config(world, tmp_path, steps=steps, resume=True), lines.append)
        assert sum(said in line for line in lines) == 1


def test_a_run_goes_on_as_what_it_is(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, steps=1)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(TrainingError, match=r"state-00000001 does not fit a sd15 plus, .* as config.json beside it"):
        run(world, tmp_path, steps=2, resume=True, kind=Kind.PLUS)
    assert (tmp_path / "config.json").read_bytes() == before


def test_an_adapter_that_could_not_be_saved_comes_from_its_state(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise TrainingError("is not saved; --resume with --full-precision")

    with monkeypatch.context() as patch:
        patch.setattr(saving, "save_adapter", fail)
        with pytest.raises(TrainingError, match="--full-precision"):
            run(world, tmp_path, steps=1)
    assert [path.name for path in tmp_path.glob("*-0*")] == ["state-00000001"]
    found = run(world, tmp_path, steps=1, resume=True, full_precision=True)
    assert equal({f"adapter.{key}": tensor for key, tensor in found.items()}, state(tmp_path, 1))


def test_what_is_only_looked_at_costs_no_save(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise TrainingError("a reference is gone.")

    monkeypatch.setattr(Samples, "grid", fail)
    with pytest.raises(TrainingError, match="a reference is gone"):
        run(world, tmp_path, steps=2, sample_every=2)
    assert (tmp_path / "state-00000002").is_dir()
    assert (tmp_path / "adapter-00000002.safetensors").is_file()


def test_a_state_that_this_run_has_no_use_for_is_not_called_damaged(tmp_path: Path) -> None:
    def run_of(*, deepspeed: bool = False, scaler: bool = False) -> Any:
        return SimpleNamespace(
            state=SimpleNamespace(deepspeed_plugin=object() if deepspeed else None), scaler=object() if scaler else None
        )

    _check_engine(tmp_path, run_of())
    with pytest.raises(TrainingError, match="without DeepSpeed; launch this one like that"):
        _check_engine(tmp_path, run_of(deepspeed=True))
    with pytest.raises(TrainingError, match="lacks the scale of its loss; give --precision bf16 or no"):
        _check_engine(tmp_path, run_of(scaler=True))
    (tmp_path / "pytorch_model").mkdir()
    with pytest.raises(TrainingError, match="with DeepSpeed; launch this one like that"):
        _check_engine(tmp_path, run_of())


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["adapter-00000009.safetensors", "adapter.safetensors"])
def test_what_another_run_has_left_is_neither_dropped_nor_written_over(
    name: str, resume: bool, world: Path, tmp_path: Path
) -> None:
    (tmp_path / "state-00000009-kept").mkdir()  # somebody's own, and no state
    (tmp_path / name).touch()
    with pytest.raises(TrainingError, match=rf"holds {name} and no state to go on from; move it away, or give another"):
        run(world, tmp_path, steps=1, resume=resume)
    assert (tmp_path / name).exists()


def test_a_state_of_a_warm_start_is_not_gone_on_from_without_it(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path / "first", steps=1, kind=Kind.PLUS)
    run(world, tmp_path / "second", steps=1, warm_start=tmp_path / "first" / "adapter.safetensors")
    with pytest.raises(TrainingError, match=r"does not fit a sd15 base, .* --warm-start"):
        run(world, tmp_path / "second", steps=2, resume=True)


def test_only_a_run_that_goes_on_has_its_optimiser_before_the_first_step(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed: list[bool] = []

    def seen(**given: Any) -> Estimate:
        resumed.append(given["resumed"])
        return estimate(**given)

    monkeypatch.setattr(loop, "estimate", seen)
    for steps, going_on in ((1, False), (2, True)):
        run(world, tmp_path, steps=steps, resume=going_on)
    assert resumed == [False, True]


def test_going_on_with_another_order_of_the_data_is_said(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(world, tmp_path, steps=1)
    run(world, tmp_path, steps=2, resume=True)
    assert "changed since" not in caplog.text
    run(world, tmp_path, steps=3, resume=True, holdout=2)
    assert "--holdout or --seed have changed since state-00000002" in caplog.text
    caplog.clear()
    told = {"weighting": Weighting.MIN_SNR, "learning_rate": 1e-5, "decay": Decay.COSINE, "drop_text": 0.1}
    run(world, tmp_path, steps=4, resume=True, holdout=2, **told)
    assert "the order of the data is a new one" not in caplog.text
    assert "--weighting has changed since state-00000003, from none to min-snr" in caplog.text
    for option in ("--learning-rate", "--decay", "--drop-text"):
        assert f"{option} has changed since state-00000003" in caplog.text


def test_an_old_state_that_does_not_say_what_its_run_was_told_is_gone_on_from() -> None:
    asked, loaded = (Position(checkpoint="mine", encoder="vit", resolution=512, weighting="early") for _ in range(2))
    loaded.load_state_dict({"step": 3, "rows": 12, "seed": 1, "data_hash": ""})
    assert loaded.changed(asked) == ["seed"]
    loaded.become(asked)
    assert loaded == replace(asked, step=3, rows=12)


def test_going_on_with_another_weight_decay_is_done(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, steps=1)
    run(world, tmp_path, steps=2, resume=True, weight_decay=0.5)
    (group,) = torch.load(tmp_path / "state-00000002" / "optimizer.bin", weights_only=True)["param_groups"]
    assert group["weight_decay"] == 0.5


def test_a_run_that_goes_back_keeps_what_it_saves(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, steps=4, save_every=1, keep=4)
    for step in (3, 4):
        shutil.rmtree(tmp_path / f"state-{step:08d}")
    run(world, tmp_path, steps=3, save_every=1, keep=1, resume=True)
    assert sorted(path.name for path in tmp_path.glob("*-0*")) == ["adapter-00000003.safetensors", "state-00000003"]


def test_the_oldest_are_dropped_and_never_what_was_just_saved(tmp_path: Path) -> None:
    saves = Saves(tmp_path, SimpleNamespace(), 2)  # pyright: ignore[reportArgumentType]
    for step in (1, 2, 7, 8, 9):
        (tmp_path / f"state-{step:08d}").mkdir()
        adapter_path(tmp_path, step).touch()
    saves._drop_old(2)
    assert sorted(step_of(path) for path in tmp_path.iterdir()) == [2, 2, 8, 8, 9, 9]


def test_a_damaged_state_is_not_taken_for_that_of_another_adapter(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, steps=1)
    for name in ("model.safetensors", "optimizer.bin", "custom_checkpoint_0.pkl"):
        file = tmp_path / "state-00000001" / name
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(TrainingError, match=r"state-00000001 is damaged \(.+\); delete it, and --resume goes on"):
            run(world, tmp_path, steps=2, resume=True)
        file.write_bytes(whole)
    file.unlink()
    with pytest.raises(TrainingError, match="state-00000001 is damaged"):
        run(world, tmp_path, steps=2, resume=True)


def test_a_full_disk_is_a_sentence_and_leaves_no_half_of_a_state(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Accelerator, folder: str) -> None:
        Path(folder).mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Accelerator, "save_state", full)
    with pytest.raises(TrainingError, match=r"No state can be written to .* \(No space left on device\); make room"):
        run(world, tmp_path, steps=1)
    assert not (tmp_path / "writing-state").exists()


def test_where_no_folder_can_be_made_is_said_before_anything_is_read(world: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(TrainingError, match=r"--output .* cannot be made: .*file is no folder to write to"):
            check_output(config(world, output))
    check_output(config(world, tmp_path / "new" / "out"))
