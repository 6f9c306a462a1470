"""What there is to choose from in the panel's lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lib_ipadapter.session.presets import Presets
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.webui import saved_prompts

Choices = Callable[[], Sequence[str]]
"""Gives the entries of a list, of models or of saved faces, as they are now."""

ChoicesFor = Callable[[str], Sequence[str]]
"""Gives the entries of a list for the model that is chosen beside it."""

Resolve = Callable[[str], "str | None"]
"""Gives the entry of that list which a pasted name stands for."""


@dataclass(frozen=True)
class Lists:
    """For a host to fill in."""

    models: Choices
    resolve: Resolve
    encoders: ChoicesFor = lambda _: ()
    """Those that fit the model; all of them, where none is chosen."""
    faces: Choices = tuple
    prompts: Choices = tuple
    save_prompt: saved_prompts.Save = saved_prompts.cannot
    folders: Choices = tuple
    looked_at: Callable[[Unit], str] = lambda _: ""
    """What a unit's adapter makes of its pictures, where it does not look at all of them."""
    presets: Presets | None = None
    """Where presets are kept; without it there are none."""
    wait: Callable[[], None] = lambda: None
    """Returns when a checkpoint that is being loaded is there: by it models are marked."""
