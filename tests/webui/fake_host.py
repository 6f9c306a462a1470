"""A stand-in for the WebUI's `modules`: just what door and host touch, driving a tiny UNet as its denoiser does."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Lock
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.models import TEXT_WIDTH, tiny_unet


class FakeOptions:
    """`shared.opts`: a dictionary with attributes."""

    def __init__(self, **data: Any) -> None:
        self.data = data


class FakeModel(nn.Module):
    """What wraps the UNet and is called by the denoiser, perhaps through tiles."""

    def __init__(self, unet: nn.Module, tiles: int = 1, fail: bool = False) -> None:
        super().__init__()
        self.fail = fail
        self.unet = [unet]
        self.tiles = tiles

    def forward(self, x: torch.Tensor, cond: dict[str, list[torch.Tensor]]) -> torch.Tensor:
        if self.fail:
            raise ZeroDivisionError
        return torch.stack(
            [self.unet[0](x, torch.tensor(500), *cond["c_crossattn"]).sample for _ in range(self.tiles)]
        ).mean(0)


class FakeProcessing:
    """`StableDiffusionProcessing`, as far as a script sees it."""

    def __init__(self) -> None:
        self.extra_generation_params: dict[str, str] = {}
        self.comments: list[str] = []
        self.iteration, self.batch_size = 0, 1

    def comment(self, text: str) -> None:
        self.comments.append(text)


class FakeScript:
    """A script among those that a processing object has."""

    def __init__(self, title: str, args_from: int, args_to: int) -> None:
        self._title = title
        self.args_from, self.args_to = args_from, args_to

    def title(self) -> str:
        return self._title


class FakeJob(FakeProcessing):
    """A processing object with the arguments of all scripts: ours stand between two others'."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__()
        end = 1 + len(arguments)
        scripts = [FakeScript("Other", 0, 1), FakeScript("IP-Adapter", 1, end), FakeScript("Last", end, end + 1)]
        self.scripts = SimpleNamespace(alwayson_scripts=scripts)
        self.script_args: Any = ("other's", *arguments, "last's")


class FakeWebUI:
    """One loaded checkpoint, and the callbacks that were registered."""

    def __init__(self, data: Path) -> None:
        self.unet: nn.Module = tiny_unet()
        self.callbacks: list[Any] = []
        self.opts = FakeOptions()
        self.data = data

    @property
    def sd_model(self) -> Any:
        return SimpleNamespace(model=SimpleNamespace(diffusion_model=self.unet))

    def modules(self) -> dict[str, ModuleType]:
        """Name -> module, for `sys.modules`."""
        parts: dict[str, dict[str, Any]] = {
            "devices": {"device": "cpu", "dtype": torch.float32, "patch_module_list": [nn.Linear, nn.LayerNorm]},
            "call_queue": {"queue_lock": Lock()},
            "paths": {"models_path": str(self.data / "models"), "data_path": str(self.data)},
            "shared": {"cmd_opts": SimpleNamespace(), "opts": self.opts, "sd_model": None, "OptionInfo": object},
            "scripts": {"scripts_data": []},
            "sd_models": {"model_data": self},
            "script_callbacks": {
                "on_cfg_denoiser": lambda callback, **_: self.callbacks.append(callback),
                "remove_callbacks_for_function": self.callbacks.remove,
                "CFGDenoiserParams": object,
            },
        }
        package = ModuleType("modules")
        found = {"modules": package}
        for name, content in parts.items():
            module = ModuleType(f"modules.{name}")
            module.__dict__.update(content)
            setattr(package, name, module)
            found[f"modules.{name}"] = module
        found["modules.shared"].__class__ = type(
            "Shared", (ModuleType,), {"sd_model": property(lambda _: self.sd_model)}
        )
        del found["modules.shared"].__dict__["sd_model"]
        return found

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Makes `modules` importable, and what imports it fresh."""
        for name in [n for n in sys.modules if n.startswith(("lib_ipadapter.webui", "lib_ipadapter.hosts.a1111"))]:
            monkeypatch.delitem(sys.modules, name)
        for name, module in self.modules().items():
            monkeypatch.setitem(sys.modules, name, module)

    def sample(
        self, steps: int = 2, *, together: bool = True, tiles: int = 1, fail: bool = False, again: bool = False
    ) -> torch.Tensor:
        """Conditional row, then unconditional row, in one call of the model or in two.

        `again`: an extension then asks the model for all rows once more, and its answer is taken.
        """
        torch.manual_seed(0)
        x, text = torch.randn(1, 4, 16, 16), torch.randn(2, 77, TEXT_WIDTH)
        with torch.no_grad():
            for step in range(steps):
                rows = torch.cat([x, x])
                model = FakeModel(self.unet, tiles, fail)
                denoiser = SimpleNamespace(step=step, total_steps=steps, inner_model=model)
                for callback in list(self.callbacks):
                    callback(SimpleNamespace(x=rows, text_cond=text[:1], text_uncond=text[1:], denoiser=denoiser))
                size = 2 if together else 1
                parts = [
                    model(x, cond={"c_crossattn": [t]}) for x, t in zip(rows.split(size), text.split(size), strict=True)
                ]
                parts = [model(rows, cond={"c_crossattn": [text]})] if again else parts
                cond, uncond = torch.cat(parts)[:, None]
                x = x - 0.1 * (uncond + 7 * (cond - uncond))
        return x

    @property
    def hooks(self) -> int:
        """Hooks on any module of the UNet."""
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in self.unet.modules())
