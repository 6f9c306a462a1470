"""`make pocket` runs every part once, in an order in which each finds what it needs, and says what it cannot do."""

from __future__ import annotations

import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from pocket import make, parts, plots
from pocket.adapters import ROUNDS


class Started(list[str]):
    """Stands in for `subprocess.Popen`: the parts in the order of their starts and, after a stroke, of their ends.

    Each ends at the second look at it; `failing` with status 1.
    """

    failing = ""
    interrupted = ""
    """At the first look at it."""

    def __init__(self) -> None:
        super().__init__()
        self.handled: dict[int, Any] = {}

    def __call__(self, command: list[str], env: dict[str, str], start_new_session: bool) -> Process:
        assert start_new_session
        assert env["OMP_NUM_THREADS"] == "1"
        self.append(command[-1])
        return Process(self, command[-1])


@dataclass
class Process:
    started: Started
    name: str
    looks: int = 0

    @property
    def returncode(self) -> int:
        return int(self.name == self.started.failing)

    def poll(self) -> int | None:
        if self.name == self.started.interrupted:
            raise KeyboardInterrupt
        self.looks += 1
        if self.looks < 2:
            return None
        self.started.append(f"/{self.name}")
        return self.returncode

    def terminate(self) -> None:
        self.started.append(f"!{self.name}")

    def wait(self) -> int:
        self.started.append(f"/{self.name}")
        return self.returncode


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Started:
    names = Started()

    def curves(work: Path, ran: Collection[str]) -> None:
        assert {*ran} == {name for name in names if name in make.PARTS}
        names.append(f"curves of {work.name}")

    monkeypatch.setattr(make, "WORK", tmp_path / "work")
    monkeypatch.setattr(make.signal, "signal", names.handled.__setitem__)
    monkeypatch.setattr(make.subprocess, "Popen", names)
    monkeypatch.setattr(make, "PATIENCE", 0.0)
    monkeypatch.setattr(plots, "write_curves", curves)
    return names


@pytest.mark.parametrize("gpu", [True, False])
def test_every_part_runs_once_after_what_it_needs_and_the_curves_come_last(
    gpu: bool, monkeypatch: pytest.MonkeyPatch, started: Started
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert make.main([]) == 0
    assert sorted(name for name in started if name in make.PARTS) == sorted(make.PARTS)
    assert started[-1] == "curves of work"
    for name, part in make.PARTS.items():
        ended = started[: started.index(name)]
        assert {f"/{needed}" for needed in part.needs} <= set(ended)
    assert {"vae", "text"} <= set(make.PARTS["diffusion"].needs)
    for name, part in ROUNDS.items():
        assert {"vision", "data", "diffusion", part.after} - {None} <= {*make.PARTS[name].needs}


def test_two_cores_have_two_parts_at_once_or_a_shared_one(monkeypatch: pytest.MonkeyPatch, started: Started) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    make.main([])
    running: set[str] = set()
    for name in started[:-1]:
        running ^= {name.removeprefix("/")}
        assert len(running) <= (1 if running & {"diffusion", *ROUNDS} else 2)


def test_a_gpu_has_all_at_once_that_can_go(monkeypatch: pytest.MonkeyPatch, started: Started) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    make.main([])
    assert started[:4] == ["vision", "vae", "text", "data"]


def test_a_part_that_fails_ends_it_after_the_one_beside_it(
    monkeypatch: pytest.MonkeyPatch, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    started.failing = "vae"
    assert make.main([]) == 1
    assert started == ["vision", "vae", "/vision", "/vae"]
    assert "The part vae has failed" in capsys.readouterr().err


def test_what_interrupts_it_ends_what_runs(monkeypatch: pytest.MonkeyPatch, started: Started) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    started.interrupted = "vae"
    with pytest.raises(KeyboardInterrupt):
        make.main([])
    assert started == ["vision", "vae", "!vision", "!vae", "/vision", "/vae"]


@pytest.mark.parametrize("nohup", [True, False])
def test_to_end_it_or_its_terminal_is_to_interrupt_it(
    nohup: bool, monkeypatch: pytest.MonkeyPatch, started: Started
) -> None:
    kept = {signal.SIGHUP: signal.SIG_IGN if nohup else signal.SIG_DFL}
    monkeypatch.setattr(make.signal, "getsignal", lambda number: kept.get(number, signal.SIG_DFL))
    assert make.main(["vae"]) == 0
    assert set(started.handled) == {signal.SIGTERM} | (set() if nohup else {signal.SIGHUP})
    with pytest.raises(SystemExit):
        started.handled[signal.SIGTERM]()


def test_two_runs_do_not_write_over_each_other(started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    make.WORK.mkdir()
    with FileLock(make.WORK / "lock"):
        assert make.main([]) == 1
    assert "Another run is at work" in capsys.readouterr().err
    assert started == []
    assert make.main(["vae"]) == 0


def test_some_parts_may_be_run_by_their_names(monkeypatch: pytest.MonkeyPatch, started: Started) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert make.main(["base-whole", "vae", "base-whole"]) == 0
    assert started == ["data", "vae", "/data", "/vae", "base-whole", "/base-whole", "curves of work"]


def test_one_part_may_be_run_by_its_name(started: Started) -> None:
    assert make.main(["text"]) == 0
    assert started == ["text", "/text", "curves of work"]


def test_a_part_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str], started: Started) -> None:
    assert make.main(["texture"]) == 2
    assert "There is no part 'texture'; the parts are vision, vae, text, " in capsys.readouterr().err
    assert started == []


@pytest.mark.parametrize("gpu", [True, False])
def test_only_a_shared_part_is_divided_and_only_without_a_gpu(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    divided = {name for name in make.PARTS if "--nproc_per_node=2" in make._command(name)}
    assert divided == (set() if gpu else {"diffusion", *ROUNDS})
    for name in make.PARTS:
        assert make._command(name)[:2] == [sys.executable, "-m"]
        assert make._command(name)[-3:] == ["-m", "pocket.parts", name]


def test_the_work_folder_is_no_part_of_what_ships() -> None:
    assert parts.WORK.relative_to(Path(parts.__file__).parents[1]).parts[0] == "outputs"
