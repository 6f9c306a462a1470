"""What an adapter of a known kind is in detail, by the shapes of its projection; `detection` tells the kinds apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lib_ipadapter.model.variant import HEAD_DIM, LAYERS, FaceFeature, Feature, Kind, Shapes, Variant

PERCEIVER = "perceiver_resampler."
"""What a Resampler's keys begin with where it is a part of another projection."""


@dataclass(frozen=True)
class Maps:
    """What a file's K/V maps and its LoRA tell, whatever the projection is."""

    width: int
    """Of the text, and so of the image tokens."""
    layers: tuple[int, ...]
    """Output width of each K/V map, in checkpoint order."""
    rank: int
    """Of the LoRA; zero where there is none."""

    def variant(self, kind: Kind, *, tokens: int | None, feature: Feature | None, features: int) -> Variant:
        """An adapter with these maps, and a projection that has no sizes yet."""
        return Variant(
            kind=kind,
            base=LAYERS[len(self.layers)],
            tokens=tokens,
            width=self.width,
            feature=feature,
            features=features,
            layers=self.layers,
            lora_rank=self.rank,
        )


def base_variant(projection: Shapes, maps: Maps) -> Variant:
    """A linear projection of the global embedding."""
    outputs, features = projection["proj.weight"]
    return maps.variant(Kind.BASE, tokens=outputs // maps.width, feature=Feature.IMAGE_EMBEDS, features=features)


def plus_variant(projection: Shapes, maps: Maps) -> Variant:
    """A Resampler over the last-but-one layer's grid."""
    tokens, features = projection["latents"][1], projection["proj_in.weight"][1]
    about = maps.variant(Kind.PLUS, tokens=tokens, feature=Feature.HIDDEN_STATES, features=features)
    return with_resampler(about, projection)


def full_variant(projection: Shapes, maps: Maps) -> Variant:
    """An MLP over each place of the last-but-one layer's grid; the encoder decides how many there are."""
    features = projection["proj.0.weight"][1]
    return maps.variant(Kind.FULL, tokens=None, feature=Feature.HIDDEN_STATES, features=features)


def faceid_variant(projection: Shapes, maps: Maps) -> Variant:
    """An MLP over a face embedding."""
    inner, face = projection["proj.0.weight"]
    tokens = projection["proj.2.weight"][0] // maps.width
    about = maps.variant(Kind.FACEID, tokens=tokens, feature=None, features=0)
    return replace(about, face=FaceFeature.NORMED, face_width=face, face_dim=inner)


def faceid_plus_variant(projection: Shapes, maps: Maps) -> Variant:
    """FaceID's MLP, whose tokens then look at the last-but-one layer's grid of the face's picture."""
    inside = {k.removeprefix(PERCEIVER): v for k, v in projection.items() if k.startswith(PERCEIVER)}
    about = replace(
        faceid_variant(projection, maps),
        kind=Kind.FACEID_PLUS,
        feature=Feature.HIDDEN_STATES,
        features=inside["proj_in.weight"][1],
    )
    return with_resampler(about, inside)


def faceid_plus_v2_variant(projection: Shapes, maps: Maps) -> Variant:
    """FaceID-plus with a shortcut around its resampler, which no shape tells."""
    return replace(faceid_plus_variant(projection, maps), kind=Kind.FACEID_PLUS_V2)


def unnorm_variant(projection: Shapes, maps: Maps) -> Variant:
    """A Resampler over the raw face embedding as a sequence of one."""
    about = plus_variant(projection, maps)
    return replace(
        about,
        kind=Kind.PORTRAIT_UNNORM,
        feature=None,
        features=0,
        face=FaceFeature.RAW,
        face_width=about.features,
    )


def with_resampler(about: Variant, resampler: Shapes) -> Variant:
    """An adapter with the sizes of its Resampler, which that one's shapes tell."""
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


Builder = Callable[[Shapes, Maps], Variant]

BUILDERS: dict[Kind, Builder] = {
    Kind.BASE: base_variant,
    Kind.PLUS: plus_variant,
    Kind.FULL: full_variant,
    Kind.FACEID: faceid_variant,
    Kind.FACEID_PLUS: faceid_plus_variant,
    Kind.FACEID_PLUS_V2: faceid_plus_v2_variant,
    Kind.PORTRAIT_UNNORM: unnorm_variant,
}
"""Kind -> what makes its details of the projection's shapes and what the rest of the file tells."""
