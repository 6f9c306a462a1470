"""What an adapter of a known kind is in detail, by the shapes of its projection; `detection` tells the kinds apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lib_ipadapter.model.variant import HEAD_DIM, LAYERS, FaceFeature, Feature, Kind, Shapes, Variant

PERCEIVER = "perceiver_resampler."
"""What a Resampler's keys begin with where it is a part of another projection."""


def base_variant(projection: Shapes, width: int, layers: tuple[int, ...], rank: int) -> Variant:
    """A linear projection of the global embedding."""
    outputs, features = projection["proj.weight"]
    return Variant(
        kind=Kind.BASE,
        base=LAYERS[len(layers)],
        tokens=outputs // width,
        width=width,
        feature=Feature.IMAGE_EMBEDS,
        features=features,
        layers=layers,
        lora_rank=rank,
    )


def plus_variant(projection: Shapes, width: int, layers: tuple[int, ...], rank: int) -> Variant:
    """A Resampler over the last-but-one layer's grid."""
    about = Variant(
        kind=Kind.PLUS,
        base=LAYERS[len(layers)],
        tokens=projection["latents"][1],
        width=width,
        feature=Feature.HIDDEN_STATES,
        features=projection["proj_in.weight"][1],
        layers=layers,
        lora_rank=rank,
    )
    return with_resampler(about, projection)


def full_variant(projection: Shapes, width: int, layers: tuple[int, ...], rank: int) -> Variant:
    """An MLP over each place of the last-but-one layer's grid; the encoder decides how many there are."""
    return Variant(
        kind=Kind.FULL,
        base=LAYERS[len(layers)],
        tokens=None,
        width=width,
        feature=Feature.HIDDEN_STATES,
        features=projection["proj.0.weight"][1],
        layers=layers,
        lora_rank=rank,
    )


def faceid_variant(projection: Shapes, width: int, layers: tuple[int, ...], rank: int) -> Variant:
    """An MLP over a face embedding."""
    inner, face = projection["proj.0.weight"]
    return Variant(
        kind=Kind.FACEID,
        base=LAYERS[len(layers)],
        tokens=projection["proj.2.weight"][0] // width,
        width=width,
        feature=None,
        features=0,
        layers=layers,
        face=FaceFeature.NORMED,
        face_width=face,
        face_dim=inner,
        lora_rank=rank,
    )


def faceid_plus_variant(projection: Shapes, width: int, layers: tuple[int, ...], rank: int) -> Variant:
    """The same, whose tokens then look at the last-but-one layer's grid of the face's picture."""
    inside = {k.removeprefix(PERCEIVER): v for k, v in projection.items() if k.startswith(PERCEIVER)}
    about = replace(
        faceid_variant(projection, width, layers, rank),
        kind=Kind.FACEID_PLUS,
        feature=Feature.HIDDEN_STATES,
        features=inside["proj_in.weight"][1],
    )
    return with_resampler(about, inside)


def faceid_plus_v2_variant(projection: Shapes, width: int, layers: tuple[int, ...], rank: int) -> Variant:
    """The same with a shortcut, which no shape tells."""
    return replace(faceid_plus_variant(projection, width, layers, rank), kind=Kind.FACEID_PLUS_V2)


def unnorm_variant(projection: Shapes, width: int, layers: tuple[int, ...], rank: int) -> Variant:
    """A Resampler over the raw face embedding as a sequence of one."""
    about = plus_variant(projection, width, layers, rank)
    return replace(
        about,
        kind=Kind.PORTRAIT_UNNORM,
        feature=None,
        features=0,
        face=FaceFeature.RAW,
        face_width=about.features,
    )


def with_resampler(about: Variant, resampler: Shapes) -> Variant:
    """The same with the sizes of its Resampler."""
    dim = resampler["proj_in.weight"][0]
    inner = resampler["layers.0.0.to_q.weight"][0]
    head_dim = min(HEAD_DIM, inner)
    return replace(
        about,
        dim=dim,
        depth=len({key.split(".")[1] for key in resampler if key.startswith("layers.")}),
        heads=inner // head_dim,
        head_dim=head_dim,
        ff_mult=resampler["layers.0.1.1.weight"][0] // dim,
    )


Builder = Callable[[Shapes, int, tuple[int, ...], int], Variant]

BUILDERS: dict[Kind, Builder] = {
    Kind.BASE: base_variant,
    Kind.PLUS: plus_variant,
    Kind.FULL: full_variant,
    Kind.FACEID: faceid_variant,
    Kind.FACEID_PLUS: faceid_plus_variant,
    Kind.FACEID_PLUS_V2: faceid_plus_v2_variant,
    Kind.PORTRAIT_UNNORM: unnorm_variant,
}
"""Each takes the projection, the text width, each layer's width, and the rank of the LoRA."""
