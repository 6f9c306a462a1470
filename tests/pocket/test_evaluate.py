"""What is measured of pictures that show just what they should, and of others."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from pocket import evaluate, measuring, sweep
from pocket.draw import draw
from pocket.halves import Right
from pocket.memory import Memory
from pocket.request import BATCH, Request
from pocket.scenes import SAID, SIZE
from tests.pocket.beside import beside

NOTHING = Image.new("RGB", (SIZE, SIZE), (248, 248, 248))


def test_only_what_is_new_is_drawn_and_all_come_back_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "MEMORY", tmp_path)
    monkeypatch.setattr(measuring, "perform", grey)
    wanted = [Request("", seed, steps=1 + seed % 2) for seed in (0, 1, 2, 3, 2)]
    key = Memory(tmp_path).key(wanted[3], wanted[3].files)
    Memory(tmp_path).keep(key, Image.new("L", (1, 1), 99))  # as nobody would draw it
    found = measuring.draw_all(wanted, 1)
    assert [picture.getpixel((0, 0)) for picture in found] == [0, 1, 2, 99, 2]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of processes, which take seconds to begin."""
    monkeypatch.setattr(measuring, "ProcessPoolExecutor", lambda count, _: ThreadPoolExecutor(count))


@pytest.mark.usefixtures("threads")
def test_an_evaluation_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MEMORY", tmp_path)
    monkeypatch.setattr(measuring, "perform", grey)
    wanted = [Request("", seed) for seed in (*range(BATCH), 1000, *range(10, 10 + BATCH))]
    with pytest.raises(ValueError, match="1000"):
        measuring.draw_all(wanted, 1)
    monkeypatch.setattr(measuring, "perform", dark)
    again = [picture.getpixel((0, 0)) for picture in measuring.draw_all(wanted[:BATCH] + wanted[-1:], 1)]
    assert again == [*range(BATCH), 200], "what was drawn first is there, and only the rest is drawn"


@pytest.mark.usefixtures("threads")
def test_what_cannot_be_kept_is_not_drawn_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(measuring, "MEMORY", tmp_path / "drawn")
    monkeypatch.setattr(measuring, "perform", counted)
    monkeypatch.setattr(Memory, "keep", full)
    with pytest.raises(OSError, match="No space"):
        measuring.draw_all([Request(str(tmp_path), seed, steps=1 + seed) for seed in range(20)], 1)
    assert len([*tmp_path.glob("*.drawn")]) < 10


def counted(batch: Sequence[Request]) -> list[Image.Image]:
    time.sleep(0.1)
    for one in batch:
        Path(one.prompt, f"{one.seed}.drawn").touch()
    return grey(batch)


def dark(batch: Sequence[Request]) -> list[Image.Image]:
    return [Image.new("L", (1, 1), 200) for _ in batch]


def grey(batch: Sequence[Request]) -> list[Image.Image]:
    if any(one.seed == 1000 for one in batch):
        raise ValueError("1000")
    return [Image.new("L", (1, 1), one.seed) for one in batch]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "accuracy", lambda _: {})


def ideal(task: evaluate.Task) -> Image.Image:
    if task.beside:
        return beside(task.scene, task.beside)
    return NOTHING if task.group == "no picture" else draw(task.scene)


@pytest.mark.parametrize("mirrored", [False, True])
def test_pictures_as_they_should_be_are_right_and_halves_exchanged_are_not(
    mirrored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {task.request: ideal(task) for task in evaluate.tasks(4)}
    if mirrored:
        known = {one: ImageOps.mirror(picture) if one.left_half else picture for one, picture in known.items()}

    def drawn(wanted: Collection[Request], _: int) -> Iterator[Image.Image]:
        return (known[one] for one in wanted)

    monkeypatch.setattr(evaluate, "draw_all", drawn)
    found = evaluate.measure(4, 1)
    assert found["no picture"]["shape"] == 0.0
    assert all(shares["together"] == 1.0 for shares in found["image alone"].values())
    assert all(shares["together"] == 1.0 for scales in found["text and image"].values() for shares in scales.values())
    assert all(shares["together"] == 1.0 for part in ("when", "layers") for shares in found[part].values())
    looks = {found["halves"][right.value]["both"]["look"] for right in Right}
    assert looks == ({0.0} if mirrored else {1.0})
    assert evaluate.tables(found)


def test_a_sweep_tells_the_first_picture_from_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(wanted: Collection[Request], _: int) -> Iterator[Image.Image]:
        shown = (one.composition or one.reference for one in wanted)
        return (draw(scene) if scene else NOTHING for scene in shown)

    monkeypatch.setattr(sweep, "draw_all", drawn)
    found = sweep.measure(4, 1)
    assert found["reference"]["no picture"]["shape"] == 0.0
    assert all(shares[name] == 1.0 for shares in found["alone"].values() for name in SAID)
    for shares in found["two pictures"].values():
        assert all(shares[f"{name} {sweep.SECOND}"] == 1.0 for name in SAID)
        assert not all(shares[name] == 1.0 for name in SAID)
    assert len(found["alone"]) == len(found["without"]) == 16
    assert sweep.tables(found)
