"""In which passes of a job a unit acts, and from where it takes its picture there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.unit.field import Type, setting


class Pass(Enum):
    """One sampling of a job."""

    FIRST = "the first, and the only one without hires fix; that of img2img too"
    HIRES = "the second of hires fix"
    INNER = "that of a job inside the job, as detailers make one for each face"


class Passes(str, Enum):
    """Passes of the picture itself."""

    BOTH = "both"
    FIRST = "first"
    HIRES = "hires"


class Detailer(str, Enum):
    """Whether the passes of jobs inside the job belong to a unit."""

    ALSO = "also"
    NEVER = "never"
    ONLY = "only"


class Source(str, Enum):
    """Where the reference picture comes from."""

    PICTURE = "picture"
    INPUT = "input"
    FOLDER = "folder"
    WHOLE_FOLDER = "whole folder"


REPLACED: dict[str, tuple[str, ...]] = {
    Source.PICTURE.value: (),
    Source.INPUT.value: ("image",),
    Source.FOLDER.value: ("image",),
    Source.WHOLE_FOLDER.value: ("image", "images"),
}
"""Where the reference comes from -> the fields in whose place it stands."""


OF_A_JOB = (
    ("reference", Source.PICTURE.value, (Source.INPUT, Source.FOLDER, Source.WHOLE_FOLDER)),
    ("passes", Passes.BOTH.value, (Passes.HIRES,)),
    ("detailer", Detailer.ALSO.value, (Detailer.ONLY,)),
)
"""Field, its usual value, and those that mean nothing where a picture is made by itself."""


@dataclass(frozen=True)
class PassFields:
    """When in a job, as `start` and `end` say when in a sampling."""

    passes: str = setting(
        "Passes",
        Type.CHOICE,
        "Hires fix: `first` or `hires` pass only. Img2img has only a first pass.",
        default=Passes.BOTH.value,
        choices=tuple(one.value for one in Passes),
        rare=True,
        late=True,
    )
    detailer: str = setting(
        "Detailer passes",
        Type.CHOICE,
        "Passes that ADetailer and its like make inside a job: `also` in these, `never`, or in these `only`.",
        default=Detailer.ALSO.value,
        choices=tuple(one.value for one in Detailer),
        rare=True,
        late=True,
    )
    reference: str = setting(
        "Reference from",
        Type.CHOICE,
        "The `picture` above, the `input` picture of img2img, one of a `folder` by the batch file's name, or the"
        " `whole folder`.",
        default=Source.PICTURE.value,
        choices=tuple(one.value for one in Source),
        rare=True,
        late=True,
    )
    reference_folder: str | None = setting(
        "Reference folder",
        Type.FOLDER,
        "For `folder` and `whole folder`: one inside that of Settings > IP-Adapter; without a name that one itself.",
        rare=True,
        late=True,
    )

    def check_alone(self) -> None:
        """Where no job is around a picture, as on the command line. Raises `UnitError` for what only a job has."""
        for name, usual, of_a_job in OF_A_JOB:
            value = getattr(self, name)
            if value in of_a_job:
                raise UnitError(
                    f"{name}={value} is for the WebUI, whose jobs have an input picture, a folder of references and"
                    f" more than one pass; here leave {name} at {usual!r}."
                )

    def acts_in(self, now: Pass) -> bool:
        """Whether the unit has a part in a pass. A pass inside the job asks nothing of `passes`."""
        if now is Pass.INNER:
            return self.detailer != Detailer.NEVER
        wanted = Passes.HIRES if now is Pass.HIRES else Passes.FIRST
        return self.detailer != Detailer.ONLY and self.passes in (Passes.BOTH, wanted)
