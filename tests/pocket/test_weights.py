"""What ships: small, in the published layouts, and an ordinary model to everybody."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from lib_ipadapter.cli.app import app
from lib_ipadapter.model.checkpoint import read_shapes
from lib_ipadapter.model.detection import detect
from lib_ipadapter.model.encoder_sizes import read_sizes
from lib_ipadapter.model.variant import Base, Kind
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.model.weights_file import read_any_shapes, read_metadata
from pocket import ship
from pocket.adapters import OTHER_SHAPE, SILENT, entries
from pocket.diffusion import close_up
from pocket.draw import draw
from pocket.judge import judge
from pocket.parts import CLOSE_UPS, SCENES, WHOLE
from pocket.questions import tasks
from pocket.scenes import COLOURS, SHAPES, SIZE, TEXTURES, sample_scene
from pocket.studio import KINDS, Studio
from pocket.webui import install
from tests.hosts.originals import NUMPY

ROOT = Path(__file__).parents[2]


def test_everything_together_is_at_most_40_mb() -> None:
    assert sum(path.stat().st_size for path in ship.WEIGHTS.rglob("*") if path.is_file()) <= 40e6


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_is_told_by_its_shapes_as_any_other(kind: Kind) -> None:
    path = ship.adapter_path(kind)
    variant = detect(read_shapes(path))
    assert (variant.kind, variant.base) == (kind, Base.SD15)
    assert read_sizes(ship.ENCODER).fits(variant)
    assert read_metadata(path)["trainer"].startswith("sd-webui-ip-adapter")
    shown = CliRunner().invoke(app, ["inspect", str(path)])
    assert shown.exit_code == 0
    assert kind.value in shown.stdout


def test_the_checkpoint_has_sd15s_blocks() -> None:
    keys = read_any_shapes(ship.CHECKPOINT)
    blocks = {".".join(key.split(".")[2:4]) for key in keys if key.startswith("model.diffusion_model.")}
    assert {f"input_blocks.{number}" for number in range(12)} <= blocks
    assert {f"output_blocks.{number}" for number in range(12)} <= blocks
    assert sum(key.endswith("attn2.to_k.weight") for key in keys) == 16


def test_the_encoder_tells_pictures_apart() -> None:
    encoder = ImageEncoder.read(ship.ENCODER)
    place = (torch.device("cpu"), torch.float32)
    scenes = [task.scene for task in tasks(4) if task.group == "no picture"]
    embeds = torch.cat([encoder.encode(draw(scene), *place).image_embeds for scene in scenes])
    likeness = torch.nn.functional.cosine_similarity(embeds[:, None], embeds[None], dim=-1)
    assert likeness.fill_diagonal_(-1).max() < 0.95


def test_nothing_in_the_extension_knows_the_pocket_model() -> None:
    folders = [ROOT / "lib_ipadapter", ROOT / "scripts", ROOT / "javascript"]
    sources = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".js")]
    assert len(sources) > 40
    assert not [path.name for path in sources if "pocket" in path.read_text(encoding="utf-8").lower()]


def test_no_scene_that_is_measured_was_trained_on() -> None:
    measured = {task.scene for task in tasks(200)}
    trained = {scene for close in (True, False) for entry in entries(close) for scene in (entry.scene, entry.reference)}
    for plan, draw_one in ((CLOSE_UPS, close_up), (WHOLE, sample_scene)):
        lot = random.Random(plan.seed)
        trained |= {draw_one(lot) for _ in range(SCENES)}
    assert len(trained) > 20_000
    assert not measured & trained
    things = [scene.things[0] for scene in measured]
    assert {thing.shape for thing in things} == set(SHAPES)
    assert {thing.colour for thing in things} == set(COLOURS)
    assert {thing.texture for thing in things} == set(TEXTURES)


@pytest.mark.filterwarnings(NUMPY)
def test_a_text_is_followed_and_a_seed_repeats(studio: Studio) -> None:
    first = studio.draw("a red star", 3)
    assert (judge(first).colour, judge(first).shape) == ("red", "star")
    assert first.tobytes() == studio.draw("a red star", 3).tobytes()
    assert first.tobytes() != studio.draw("a red star", 4).tobytes()


def test_a_webui_gets_everything_where_it_looks(tmp_path: Path) -> None:
    written = install(tmp_path)
    assert all(path.exists() for path in written)
    yaml = (tmp_path / "Stable-diffusion" / "pocket.yaml").read_text(encoding="utf-8")
    assert str((tmp_path / "Stable-diffusion" / "pocket-tokenizer").resolve()) in yaml
    assert sorted(path.stem for path in (tmp_path / "ip-adapter").iterdir()) == [
        f"ip-adapter_pocket_{kind.value}" for kind in KINDS
    ]


@pytest.mark.parametrize("close_ups", [True, False])
def test_an_adapters_caption_is_empty_only_where_the_reference_is_the_picture(close_ups: bool) -> None:
    found = list(entries(close_ups))
    silent = [entry for entry in found if not entry.text]
    assert all(entry.reference is None for entry in silent)
    other = [entry for entry in found if entry.reference]
    assert len(other) / len(found) == pytest.approx(OTHER_SHAPE, abs=0.02)
    assert len(silent) / (len(found) - len(other)) == pytest.approx(SILENT, abs=0.02)
    assert all(entry.scene.things[0].shape in entry.text for entry in other)


def test_without_a_size_it_draws_as_large_as_it_was_trained(studio: Studio) -> None:
    pipeline = studio.pipeline
    assert pipeline.unet.config.sample_size * pipeline.vae_scale_factor == SIZE
