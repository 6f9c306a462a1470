"""From units to hooks on the live UNet, for as long as one sampling takes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor, nn

from lib_ipadapter.errors import HostError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.scaling import EmbedsScaling
from lib_ipadapter.maths.structure import STRUCTURES
from lib_ipadapter.model.lora import LoRA
from lib_ipadapter.model.variant import Variant
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import CrossAttention, check_fits, cross_attentions
from lib_ipadapter.patch.moment import Moment, Role
from lib_ipadapter.session.arrangement import arranged
from lib_ipadapter.session.faces import face_folders
from lib_ipadapter.session.host import Host
from lib_ipadapter.session.ignored import ignored
from lib_ipadapter.session.library import LIBRARY, Library
from lib_ipadapter.session.naming import find
from lib_ipadapter.session.region import region
from lib_ipadapter.session.stamps import stamp
from lib_ipadapter.session.unit import Unit


class Generation:
    """The branches of all active units on a host's UNet.

    A context manager: leaving it, however it is left, removes every hook.
    """

    def __init__(self, host: Host, units: Sequence[Unit], library: Library = LIBRARY) -> None:
        self.host = host
        self.library = library
        self.units = sorted((unit for unit in units if unit.active), key=lambda unit: unit.order)
        self.moment = Moment()
        self.branches: list[ImageBranch] = []
        self.variants: list[Variant] = []
        self._loras: dict[Hashable, LoRA] = {}
        self._unet: nn.Module | None = None
        self._attached = ExitStack()
        self._opened = ExitStack()

    def __enter__(self) -> Generation:
        """Everything that can fail fails here, with nothing left behind. Raises `IPAdapterError`."""
        if not self.units:
            return self
        try:
            self._unet = self.host.unet()
            for unit in self.units:
                self._prepare(unit)
            self._opened.enter_context(self.host.follow(self.begin_step))
            self._attach(self._unet)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes the hooks and lets go of the UNet. Harmless when there is nothing to do."""
        self._attached.close()
        self._opened.close()
        self.branches.clear()
        self.variants.clear()
        self._loras.clear()
        self._unet = None

    def begin_step(
        self, progress: float, roles: Sequence[Role], items: Sequence[int] = (), texts: Tensor | None = None
    ) -> None:
        """A denoiser step begins; a refiner may have put another UNet in place since the last one."""
        unet = self.host.unet()
        if unet is not self._unet:
            self._move_to(unet)
        self.moment.begin_step(progress, roles, items, texts)

    def _prepare(self, unit: Unit) -> None:
        """One unit's branch. What it says to no effect is told."""
        unit.check()
        assert self._unet is not None
        layers = cross_attentions(self._unet)
        path, variant = self._file(unit, layers)
        for sentence in ignored(unit, variant, face_folders(self.host.adapter_folders())):
            self.host.remark(sentence)
        self.branches.append(self._branch(unit, path, variant, layers))
        self.variants.append(variant)

    def _file(self, unit: Unit, layers: Sequence[CrossAttention]) -> tuple[Path, Variant]:
        """Where a unit's adapter is, and what it is. Raises `IPAdapterError` where it is not there, or does not fit."""
        file = find(unit.model or "", self.host.adapter_folders(), lambda path: self.library.why_not(path, layers))
        variant = self.library.variant(file.path, unit.choice)
        check_fits(variant, layers, file.name)
        return file.path, variant

    def _branch(self, unit: Unit, path: Path, variant: Variant, layers: Sequence[CrossAttention]) -> ImageBranch:
        """A unit's pictures as keys and values, and how these act."""
        structure = STRUCTURES[len(layers)]
        scales = unit.layer_scales(unit.scale, structure)

        def compute(seen: Unit) -> tuple[KeyValue, ...]:
            return self.library.key_values(seen, path, self.host).layers

        return ImageBranch(
            arranged(unit, compute, layers, structure),
            layers=scales,
            schedule=unit.schedule,
            lora=self._lora(path, unit) if variant.lora_rank and unit.lora_scale else {},
            lora_scale=unit.lora_scale,
            scaling=EmbedsScaling(unit.embeds_scaling),
            region=region(unit, self.host.canvas),
            first=unit.batch_start,
        )

    def _lora(self, path: Path, unit: Unit) -> LoRA:
        """The LoRA of an adapter file: one object for all units, also where the library has read it twice."""
        return self._loras.setdefault(stamp(path), self.library.adapter(path, unit.choice).lora)

    def _attach(self, unet: nn.Module) -> None:
        self._attached.enter_context(attach(unet, self.branches, self.moment, self._fail))

    def _fail(self, error: HostError) -> None:
        """In the middle of sampling. Where the host lets it go on, it goes on without any hook, a refiner too."""
        self.host.fail(error)
        self.close()

    def _move_to(self, unet: nn.Module) -> None:
        """Follows a change of the UNet in the middle of sampling; stands down where the adapters do not fit."""
        self._attached.close()
        self._unet = unet
        try:
            layers = cross_attentions(unet)
            for unit, variant in zip(self.units, self.variants, strict=True):
                check_fits(variant, layers, unit.model or "")
        except HostError as error:
            self.host.notice(f"IP-Adapter rests from here on: {error}")
            return
        self._attach(unet)
