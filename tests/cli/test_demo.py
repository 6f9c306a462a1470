"""``demo``: its claims hold, and each of them can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from lib_ipadapter.cli import exhibition, facts
from lib_ipadapter.cli.app import app
from lib_ipadapter.cli.facts import FACTS, Evidence, Fact
from lib_ipadapter.cli.references import references
from lib_ipadapter.cli.studio import Shot, Studio, unit_of
from lib_ipadapter.model.variant import Kind


def test_the_sheet_is_written_and_every_claim_holds(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--output", str(tmp_path / "new" / "demo.png")])
    assert result.exit_code == 0, result.output
    assert result.stdout.count(" yes") == len(FACTS)
    assert "Look at" in result.stdout
    assert "random" in result.stdout
    with Image.open(tmp_path / "new" / "demo.png") as sheet:
        assert sheet.width > 1000
        assert len(sheet.convert("RGB").getcolors(1 << 24)) > 10_000


def test_a_claim_that_fails_is_said_and_the_status_is_not_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Image.new("RGB", (8, 8)), [Fact("the moon is cheese", "rock", holds=False)]
    monkeypatch.setattr(exhibition, "exhibit", lambda: made)
    result = CliRunner().invoke(app, ["demo", "--output", str(tmp_path / "demo.png")])
    assert result.exit_code == 2
    assert "NO" in result.stdout
    assert "the moon is cheese" in result.stderr


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    studio, images = Studio(tmp_path_factory.mktemp("studio")), references()
    shots = [Shot(name, Kind.BASE, scale) for name in ("dusk", "night") for scale in (0.0, 0.5, 1.0)]
    return Evidence(studio, images, studio.plain(), {shot: studio.draw(unit_of(shot, images)) for shot in shots})


def spoiled(found: Evidence, change: Callable[[Shot, torch.Tensor], torch.Tensor]) -> Evidence:
    return replace(found, drawn={shot: change(shot, latents) for shot, latents in found.drawn.items()})


SPOILS: dict[str, Callable[[Evidence], Evidence]] = {
    "nothing_at_zero": lambda found: spoiled(found, lambda shot, latents: latents + 1e-3 * (shot.scale == 0)),
    "nothing_left": lambda found: replace(found, plain=found.plain + 1e-3),
    "grows": lambda found: spoiled(found, lambda shot, latents: latents if shot.scale < 1 else found.plain),
    "differs": lambda found: spoiled(found, lambda shot, _: found.drawn[Shot("dusk", shot.kind, shot.scale)]),
    "agrees_with_diffusers": lambda found: spoiled(found, lambda _, latents: latents * 1.001),
}


def test_every_claim_has_its_counterexample() -> None:
    assert list(SPOILS) == [fact.__name__ for fact in FACTS]


@pytest.mark.parametrize("name", SPOILS)
def test_a_claim_notices_when_it_is_false(found: Evidence, name: str) -> None:
    claim = getattr(facts, name)
    assert claim(found).holds
    assert not claim(SPOILS[name](found)).holds


def test_a_hook_that_was_left_is_noticed(found: Evidence) -> None:
    handle = found.studio.pipeline.unet.register_forward_hook(lambda *_: None)
    try:
        assert not facts.nothing_left(found).holds
    finally:
        handle.remove()
