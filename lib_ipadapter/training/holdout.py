"""Which examples are trained on, and which are kept for evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.check import Example
from lib_ipadapter.training.config import TrainConfig


def divide(examples: Sequence[Example], config: TrainConfig) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and to evaluate on; the same ones where there are too few to keep some back.

    Contents choose and not the seed: a run that goes on from the adapter of another is not shown what that one saw.
    A picture is on one side with all of its captions and references, and so is whatever shares a picture with it, as
    the views of one person do; unless that would be more than is to be held.
    Raises `TrainingError` where nothing is left.
    """
    count = min(64, len(examples) // 20) if config.holdout is None else config.holdout
    order = sorted(examples, key=lambda example: example.identity)
    groups = _connected(order)
    if not any(len(group) <= count for group in groups):  # one picture is everybody's reference
        groups = _grouped((example.image_hash, example) for example in order)
    held = _first(groups, count)
    if len(held) == len(examples) and config.holdout is None:
        held = []
    if held and len(held) == len(examples):
        raise TrainingError(
            f"--holdout {config.holdout} leaves nothing to train on: there are {len(examples)} usable entries, of"
            f" {len({example.image_hash for example in examples})} pictures."
        )
    kept = set(held)
    return [example for example in examples if example not in kept], held or order[:64]


def one_of_each(examples: Iterable[Example]) -> list[Example]:
    """The first example of each picture."""
    return list({example.image_hash: example for example in reversed([*examples])}.values())[::-1]


def _first(groups: Iterable[list[Example]], count: int) -> list[Example]:
    """Whole groups, until there are as many; larger ones are left out as long as there are others."""
    held: list[Example] = []
    for group in sorted(groups, key=lambda group: len(group) > count):
        if len(held) >= count:
            break
        held += group
    return held


def _connected(examples: Sequence[Example]) -> list[list[Example]]:
    """Those that share a picture, as what is drawn or as the reference, directly or through others."""
    root: dict[str, str] = {}

    def find(picture: str) -> str:
        while (above := root.setdefault(picture, picture)) != picture:
            root[picture] = picture = root.setdefault(above, above)
        return picture

    for example in examples:
        root[find(example.reference_hash)] = find(example.image_hash)
    return _grouped((find(example.image_hash), example) for example in examples)


def _grouped(pairs: Iterable[tuple[str, Example]]) -> list[list[Example]]:
    """By the first of each pair, in the order in which they are met."""
    groups: dict[str, list[Example]] = {}
    for key, example in pairs:
        groups.setdefault(key, []).append(example)
    return [*groups.values()]
