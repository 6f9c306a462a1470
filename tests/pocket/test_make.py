"""`make pocket` runs every part once, in an order in which each finds what it needs, and says what it cannot do."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from pocket import make, plots

NEEDS = {"diffusion": {"vae", "text"}, "base": {"vision", "diffusion", "data"}, "plus": {"vision", "diffusion", "data"}}
"""Part -> parts whose result it reads."""


@dataclass
class Started:
    """Stands in for a process; `failing` ends with status 1."""

    names: list[str]
    """Of all parts in the order of their start; a semicolon where the first of some was waited for."""
    failing: str = ""

    def __call__(self, command: list[str], env: dict[str, str]) -> Started:
        assert env["OMP_NUM_THREADS"] == "1"
        self.names.append(command[-1])
        return Started(self.names, self.failing if command[-1] == self.failing else "")

    def wait(self) -> int:
        if self.names[-1] != ";":
            self.names.append(";")
        return int(bool(self.failing))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    names = Started([])
    monkeypatch.setattr(make.subprocess, "Popen", names)
    monkeypatch.setattr(plots, "write_curves", lambda work: names.names.append(f"curves of {work.name}"))
    return names


def test_every_part_runs_once_after_what_it_needs_and_the_curves_come_last(started: Started) -> None:
    assert make.main([]) == 0
    assert sorted(name for name in started.names if name in make.PARTS) == sorted(make.PARTS)
    assert started.names[-1] == "curves of work"
    for part, needed in NEEDS.items():
        ended = started.names[: started.names.index(part)]
        assert needed <= set(ended[: len(ended) - ended[::-1].index(";")])


def test_a_part_that_fails_ends_it_after_the_one_beside_it(started: Started) -> None:
    started.failing = "vae"
    assert make.main([]) == 1
    assert started.names == ["vision", "vae", ";"]


def test_one_part_may_be_run_by_its_name(monkeypatch: pytest.MonkeyPatch, started: Started) -> None:
    ran: list[str] = []
    monkeypatch.setitem(make.PARTS, "text", make.Part(lambda: ran.append("text")))
    assert make.main(["text"]) == 0
    assert (ran, started.names) == (["text"], [])


def test_a_part_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str], started: Started) -> None:
    assert make.main(["texture"]) == 2
    assert "There is no part 'texture'; the parts are vision, vae, text, " in capsys.readouterr().err
    assert started.names == []


@pytest.mark.parametrize("gpu", [True, False])
def test_only_a_shared_part_is_divided_and_only_without_a_gpu(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    divided = {name for name in make.PARTS if "--nproc_per_node=2" in make._command(name)}
    assert divided == (set() if gpu else {"diffusion"})
    for name in make.PARTS:
        assert make._command(name)[:2] == [sys.executable, "-m"]
        assert make._command(name)[-2:] == ["pocket.make", name]


def test_the_work_folder_is_no_part_of_what_ships() -> None:
    assert make.WORK.relative_to(Path(make.__file__).parents[1]).parts[0] == "outputs"
