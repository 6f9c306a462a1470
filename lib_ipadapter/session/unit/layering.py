"""In which layers a picture acts, and how strongly at which step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.maths.scales import LayerScales
from lib_ipadapter.maths.scaling import EmbedsScaling
from lib_ipadapter.maths.structure import Structure
from lib_ipadapter.maths.weight_types import WeightType, block_scales
from lib_ipadapter.session.unit import notation
from lib_ipadapter.session.unit.field import Type, setting


@dataclass(frozen=True)
class Layering:
    """Which layers, and when."""

    weight_type: str = setting(
        "Weight type",
        Type.CHOICE,
        "How strong the picture is in which layers, by a named table.",
        default=WeightType.LINEAR.value,
        choices=tuple(kind.value for kind in WeightType),
        rare=True,
        late=True,
        axis=True,
    )
    composition_scale: float = setting(
        "Composition scale",
        Type.NUMBER,
        "Scale of the composition's layers in weight types that have two; 0 takes the scale.",
        default=0.0,
        maximum=2.0,
        step=0.05,
        rare=True,
        late=True,
    )
    composition_image: Image.Image | None = setting(
        "Composition picture",
        Type.PICTURE,
        "A picture for the composition's layers in the two `style and composition` types; else the same serves both.",
        rare=True,
        late=True,
    )
    layers: str = setting(
        "Layers",
        Type.LAYERS,
        "A factor of the scale for each layer by its number, in place of the weight type; those not listed are off.",
        default="",
        rare=True,
        late=True,
    )
    curve: str = setting(
        "Curve",
        Type.CURVE,
        "A factor of the scale over the steps: points with lines between, or as `[from:to:when]` in a prompt.",
        default="",
        rare=True,
        late=True,
    )
    grid: str = setting(
        "Grid",
        Type.GRID,
        "A factor for each layer at each step: a row for each part of the layers, a column for each of the steps.",
        default="",
        rare=True,
        late=True,
    )
    embeds_scaling: str = setting(
        "Scaling",
        Type.CHOICE,
        "What the scale is applied to: the values, keys and values, and less in narrow layers with the C penalty.",
        default=EmbedsScaling.V.value,
        choices=tuple(mode.value for mode in EmbedsScaling),
        rare=True,
        late=True,
    )

    @property
    def weighting(self) -> WeightType:
        """The weight type in force: layers by hand stand in its place, and then nothing is inverted or seen apart."""
        return WeightType.LINEAR if self.layers else WeightType(self.weight_type)

    def strong(self, scale: float) -> bool:
        """Whether any layer has a scale other than 0 at any step, as far as the curve lets it."""
        raw = notation.read_layers(self.layers)
        if raw:
            acting = scale != 0.0 and any(raw.values() if isinstance(raw, Mapping) else raw)
        else:
            acting = scale != 0.0 or (self.weighting.two_scales and self.composition_scale != 0.0)
        return acting and not notation.read_grid(self.grid).empty

    def layer_scales(self, scale: float, structure: Structure) -> LayerScales:
        """What reaches each layer of a UNet built like `structure`, before the schedule. Raises `UnitError`."""
        raw = notation.read_layers(self.layers)
        if isinstance(raw, tuple) and len(raw) == structure.layers:
            scales = tuple(scale * factor for factor in raw)
        else:
            blocks = self._by_block(raw, scale, structure)
            scales = tuple(blocks[block] for block in structure.block_of)
        return LayerScales(scales, structure, notation.read_grid(self.grid))

    def _by_block(self, raw: notation.Layers, scale: float, structure: Structure) -> tuple[float, ...]:
        if not raw:
            return block_scales(self.weighting, structure, scale, self.composition_scale or scale)
        fits = max(raw) < structure.blocks if isinstance(raw, Mapping) else len(raw) == structure.blocks
        if not fits:
            given = f"number {max(raw)}" if isinstance(raw, Mapping) else f"a list of {len(raw)}"
            raise UnitError(
                f"IP-Adapter: layers has {given}, but the loaded checkpoint has the numbers 0 to"
                f" {structure.blocks - 1}; list these, or load the checkpoint that they are for."
            )
        factors = raw if isinstance(raw, Mapping) else dict(enumerate(raw))
        return tuple(scale * factors.get(block, 0.0) for block in range(structure.blocks))
