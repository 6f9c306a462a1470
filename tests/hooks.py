"""What hangs on a module tree, seen without the code under test."""

from __future__ import annotations

from typing import Any

from torch import nn

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)


def hook_count(root: nn.Module) -> int:
    """Hooks of any kind on any module of a tree."""
    return sum(len(getattr(module, kind)) for module in root.modules() for kind in HOOKS)


def attributes(root: nn.Module) -> dict[str, list[tuple[str, Any]]]:
    """What is written on the modules of a tree, hooks left out: names, and the identity of what they hold."""
    kept = [kind for kind in HOOKS if kind != "_state_dict_hooks"]
    hidden = {*kept, *(f"{kind}_with_kwargs" for kind in kept), *(f"{kind}_always_called" for kind in kept)}
    return {
        name: [(key, id(value)) for key, value in vars(module).items() if key not in hidden]
        for name, module in root.named_modules()
    }
