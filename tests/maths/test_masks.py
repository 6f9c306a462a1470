"""A mask on the tokens of a layer lies where the layer's cells lie, at any size."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lib_ipadapter.maths.masks import Box, level_of, levels, token_mask

SIZES = [(600, 800), (912, 1144), (1024, 576), (512, 512), (520, 1000), (840, 1096), (832, 1216)]
"""Height and width in pixels of pictures at which other implementations crash or slip, and of common ones."""

SIDE = st.integers(1, 160)
LATENT = st.tuples(SIDE, SIDE)
FRACTION = st.floats(0, 1)


def cells(length: int, level: int) -> list[tuple[int, int]]:
    """Where each cell of a level begins and ends, in latent cells along one axis."""
    step = 2**level
    return [(start, min(start + step, length)) for start in range(0, length, step)]


@given(latent=LATENT)
def test_the_sizes_are_those_of_a_unets_convolutions(latent: tuple[int, int]) -> None:
    down, sizes = nn.Conv2d(1, 1, 3, stride=2, padding=1, device="meta"), list(islice(levels(latent), 6))
    picture = torch.empty(1, 1, *latent, device="meta")
    for size in sizes:
        assert tuple(picture.shape[2:]) == size
        picture = down(picture)


@given(latent=LATENT)
def test_a_number_of_tokens_belongs_to_one_level(latent: tuple[int, int]) -> None:
    counts = [height * width for height, width in levels(latent)]
    assert [level_of(latent, count) for count in counts] == list(range(len(counts)))
    assert level_of(latent, counts[0] + 1) is None


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_levels_at_sizes_that_are_known_to_be_awkward(height: int, width: int) -> None:
    latent = (height // 8, width // 8)
    mask = torch.zeros(height, width)
    mask[:, : width // 2] = 1
    for level, (rows, columns) in enumerate(islice(levels(latent), 4)):
        seen = token_mask(mask, latent, rows * columns).view(rows, columns)
        for column, (start, stop) in enumerate(cells(latent[1], level)):
            covered = (min(max(width // 2, start * 8), stop * 8) - start * 8) / (8 * (stop - start))
            torch.testing.assert_close(seen[:, column], torch.full((rows,), covered))


@settings(max_examples=60)
@given(latent=LATENT, across=st.tuples(FRACTION, FRACTION), down=st.tuples(FRACTION, FRACTION), scale=st.integers(1, 9))
def test_a_cell_inside_is_one_a_cell_outside_is_exactly_zero(
    latent: tuple[int, int], across: tuple[float, float], down: tuple[float, float], scale: int
) -> None:
    """Of a rectangle drawn in pixels, `scale` of them along a cell."""
    rows, columns = (sorted(int(f * n * scale) for f in fs) for fs, n in zip((down, across), latent, strict=True))
    mask = torch.zeros(latent[0] * scale, latent[1] * scale)
    mask[slice(*rows), slice(*columns)] = 1
    for level, size in enumerate(islice(levels(latent), 4)):
        seen = token_mask(mask, latent, size[0] * size[1]).view(size)
        inside_down, touched_down = met(cells(latent[0], level), rows, scale)
        inside_across, touched_across = met(cells(latent[1], level), columns, scale)
        inside, touched = inside_down[:, None] & inside_across, touched_down[:, None] & touched_across
        assert (seen[inside] == 1).all()
        assert torch.count_nonzero(seen[~touched]) == 0


def met(along: list[tuple[int, int]], span: list[int], scale: int) -> tuple[Tensor, Tensor]:
    """Whether each cell lies in a span of pixels, and whether it touches it."""
    start, stop = span
    inside = [start <= a * scale and b * scale <= stop for a, b in along]
    touched = [a * scale < stop and b * scale > start for a, b in along]
    return torch.tensor(inside), torch.tensor(touched)


@settings(max_examples=60)
@given(latent=LATENT, mask=st.tuples(st.integers(1, 90), st.integers(1, 90)), seed=st.integers(0, 99))
def test_nothing_of_a_mask_is_lost_or_made(latent: tuple[int, int], mask: tuple[int, int], seed: int) -> None:
    """Cells weighed by their size cover as much as the mask, soft edges and all."""
    drawn = torch.rand(mask, generator=torch.Generator().manual_seed(seed))
    for level, (rows, columns) in enumerate(islice(levels(latent), 4)):
        seen = token_mask(drawn, latent, rows * columns).view(rows, columns)
        high = torch.tensor([b - a for a, b in cells(latent[0], level)]).float()
        wide = torch.tensor([b - a for a, b in cells(latent[1], level)]).float()
        covered = (seen * high[:, None] * wide).sum() / (latent[0] * latent[1])
        torch.testing.assert_close(covered, drawn.mean(), rtol=1e-4, atol=1e-5)
        assert 0 <= seen.min() <= seen.max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 64), (611, 1023)])
def test_everywhere_is_exactly_one(size: tuple[int, int]) -> None:
    for tokens in (75 * 100, 38 * 50, 19 * 25, 10 * 13):
        for box in (Box(), Box(0.13, 0.2, 0.77, 0.9), Box(-0.3, 0, 1.4, 1)):
            assert torch.equal(token_mask(torch.ones(size), (75, 100), tokens, box), torch.ones(tokens))


PADS = st.integers(-20, 20)


@settings(max_examples=60)
@given(edges=st.tuples(PADS, PADS, PADS, PADS), latent=LATENT)
def test_a_box_is_a_crop_and_beyond_the_edges_they_are_repeated(
    edges: tuple[int, int, int, int], latent: tuple[int, int]
) -> None:
    mask = torch.rand(60, 70, generator=torch.Generator().manual_seed(0))
    left, right, top, bottom = edges
    shown = F.pad(mask[None, None], tuple(max(edge, 0) for edge in edges), mode="replicate")[0, 0]
    shown = shown[max(-top, 0) : shown.shape[0] - max(-bottom, 0), max(-left, 0) : shown.shape[1] - max(-right, 0)]
    box = Box(-left / 70, -top / 60, 1 + right / 70, 1 + bottom / 60)
    for rows, columns in islice(levels(latent), 4):
        torch.testing.assert_close(
            token_mask(mask, latent, rows * columns, box), token_mask(shown, latent, rows * columns), rtol=0, atol=1e-5
        )
