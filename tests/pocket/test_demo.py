"""The demo: its claims hold on the weights that ship, and each of them can fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_ipadapter.cli.quiet import QUIET
from lib_ipadapter.model.variant import Kind
from pocket import demo, facts
from pocket.draw import draw
from pocket.facts import FACTS, Evidence, Fact
from pocket.sheet import Cell
from pocket.studio import Studio, unit
from tests.hosts.originals import NUMPY

pytestmark = pytest.mark.filterwarnings(NUMPY)

SEED, SCALES = 4, (0.0, 1.0)


@pytest.fixture
def found(studio: Studio) -> Evidence:
    """A small sheet."""
    reference = draw(demo.REFERENCES[0])
    drawn = {("", 0, scale): studio.draw("", SEED, unit(facts.SHOWN, reference, scale)) for scale in SCALES}
    return Evidence(studio, [studio.draw("", SEED)], drawn, SEED)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of everything; `make demo` measures all of it."""
    monkeypatch.setattr(facts, "TRIALS", 2)
    monkeypatch.setattr(facts, "HELD_OUT", facts.HELD_OUT + 100)  # the first four of the demo's own are the hardest
    monkeypatch.setattr(facts, "KINDS", (Kind.PLUS,))


def spoiled(found: Evidence, change: Callable[[Cell, Image.Image], Image.Image]) -> Evidence:
    return replace(found, drawn={cell: change(cell, picture) for cell, picture in found.drawn.items()})


class Unmoved(Studio):
    """Draws as if there were no reference."""

    def draw_each(self, prompts: Sequence[str], seeds: Sequence[int], *units: object, **more: Any) -> list[Image.Image]:
        return super().draw_each(prompts, seeds, **more)

    def latents(self, prompt: str, seed: int, *units: object, **more: object) -> object:
        return super().latents(prompt, seed, **more)


@cache
def unmoved_studio() -> Studio:
    return Unmoved()


def unmoved(found: Evidence) -> Evidence:
    return replace(found, studio=unmoved_studio())


SPOILS: dict[str, Callable[[Evidence], Evidence]] = {
    "nothing_at_zero": lambda found: spoiled(
        found, lambda cell, picture: picture.rotate(90) if not cell[2] else picture
    ),
    "nothing_left": lambda found: replace(found, plain=[picture.rotate(90) for picture in found.plain]),
    "agrees_with_diffusers": unmoved,
    "image_alone": unmoved,
    "text_and_image": unmoved,
}


def test_every_claim_has_its_counterexample() -> None:
    assert list(SPOILS) == [fact.__name__ for fact in FACTS]


@pytest.mark.usefixtures("few")
def test_a_claim_holds_and_notices_when_it_is_false(found: Evidence) -> None:
    """All in one, because each begins with the same sheet."""
    for name, spoil in SPOILS.items():
        claim = getattr(facts, name)
        assert claim(found).holds, name
        assert not claim(spoil(found)).holds, name
    handle = found.studio.pipeline.unet.register_forward_hook(lambda *_: None)
    try:
        assert not facts.nothing_left(found).holds
    finally:
        handle.remove()


def made(*facts: Fact) -> Callable[[], tuple[Image.Image, list[Fact]]]:
    return lambda: (Image.fromarray(np.zeros((8, 8, 3), np.uint8)), list(facts))


def test_the_sheet_is_written_and_every_claim_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "exhibit", made(Fact("water is wet", "very", holds=True)))
    demo.main(tmp_path / "new" / "demo.png")
    assert (tmp_path / "new" / "demo.png").is_file()
    assert "water is wet" in capsys.readouterr().out


def test_a_claim_that_fails_is_said_and_the_status_is_not_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "exhibit", made(Fact("the moon is cheese", "rock", holds=False)))
    with pytest.raises(SystemExit) as stopped:
        demo.main(tmp_path / "demo.png")
    said = capsys.readouterr()
    assert stopped.value.code == 1
    assert "NO" in said.out
    assert "the moon is cheese" in said.err


QUIETLY = """
from pathlib import Path
from PIL import Image
from pocket import demo

def exhibit():
    from pocket.studio import Studio
    Studio()
    return Image.new("RGB", (8, 8)), []

demo.exhibit = exhibit
demo.main(Path({path!r}))
"""


def test_no_library_speaks_between_the_demo_and_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    program = QUIETLY.format(path=str(tmp_path / "demo.png"))
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == f"Look at {tmp_path / 'demo.png'}."
