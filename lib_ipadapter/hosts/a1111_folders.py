"""The WebUI's folders: those that are searched, ControlNet's and a ComfyUI's among them, and those that are ours.

Places in comments are of WebUI 1.10.1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from modules import paths, shared

from lib_ipadapter.session import presets
from lib_ipadapter.session.files import home_folder, is_folder, printable
from lib_ipadapter.session.recognition import roots
from lib_ipadapter.session.remote import Shelf

EXTENSION = Path(__file__).resolve().parents[2]

SLASHES = r"[\\/]+"
"""Of either system; a place that stands in quotes has each of Windows' twice."""

REFERENCE_SETTING = "ip_adapter_reference_folder"

COMFYUI = {Shelf.ADAPTERS: "ipadapter", Shelf.ENCODERS: "clip_vision"}
"""Folders among ComfyUI's models, by which these are known."""


def adapter_folders() -> list[Path]:
    """``--ip-adapter-dir`` if given, the WebUI's and the extension's ``models/ip-adapter``, ControlNet's folders.

    Where a ComfyUI's folder or its ``models`` is given, it is ``ipadapter`` in there.
    """
    given = _comfyui(_option("ip_adapter_dir"), Shelf.ADAPTERS) or [_option("ip_adapter_dir")]
    return _existing([*given, *_own(Shelf.ADAPTERS)], _controlnet_folders())


def encoder_folders() -> list[Path]:
    """``clip_vision`` below each of the places where adapters may be, and ControlNet's own folder of encoders."""
    given = _comfyui(_option("ip_adapter_encoder_dir"), Shelf.ENCODERS) or [_option("ip_adapter_encoder_dir")]
    beside = _comfyui(_option("ip_adapter_dir"), Shelf.ENCODERS)
    return _existing(
        [*given, *beside, *_own(Shelf.ENCODERS)], [folder / "clip_vision" for folder in _annotator_folders()]
    )


def preset_folder() -> Path:
    """Where presets are kept: beside the WebUI's own settings, so that they outlive the extension's folder."""
    return Path(paths.data_path, presets.FOLDER)


def cache_folder() -> Path:
    """Beside what the WebUI itself keeps (cache.py:12)."""
    return Path(os.environ.get("SD_WEBUI_CACHE_DIR") or Path(paths.data_path, "cache")) / "ip-adapter"


def reference_folder() -> Path | None:
    """Where references are found by name; a relative one starts where the WebUI keeps its data."""
    named = str(shared.opts.data.get(REFERENCE_SETTING) or "").strip()
    return Path(paths.data_path, named) if named else None


def without_folders(sentence: str) -> str:
    """For an answer that leaves this machine: folders go by their place below the WebUI's own, or by their name.

    Whoever may send jobs need not learn where this machine keeps its files; the log says it whole.
    """
    data, encoders = Path(paths.data_path), encoder_folders()
    ours = {*adapter_folders(), *encoders, *roots(encoders), preset_folder(), cache_folder(), reference_folder()}
    for folder in sorted((one for one in ours if one and one.name), key=lambda one: -len(str(one))):
        shown = folder.relative_to(data) if folder.is_relative_to(data) else folder.name
        sentence = sentence.replace(str(folder), str(shown))
    sentence = _shortened(sentence, data, alone=".", below="")
    if own := home_folder():
        sentence = _shortened(sentence, own, alone="~", below=r"~\1")
    return printable(sentence)


def _shortened(sentence: str, folder: PurePath, *, alone: str, below: str) -> str:
    r"""`alone` for `folder` itself, and `below`, where ``\1`` is the slash, for the way into it; whatever the slashes.

    As it stands where the folder is no place of its own: a system's root, or a word of a relative path.
    """
    if not (folder.name and folder.is_absolute()):
        return sentence
    place = r"(?<![\w.-])" + SLASHES.join(map(re.escape, re.split(SLASHES, str(folder))))
    sentence = re.sub(rf"{place}({SLASHES})", below, sentence)
    return re.sub(rf"{place}(?![\w-])", alone, sentence)


def _own(shelf: Shelf) -> list[Path]:
    """The WebUI's folder of a kind, and the extension's."""
    return [Path(paths.models_path, shelf.value), EXTENSION / "models" / shelf.value]


def _comfyui(folder: Path | None, shelf: Shelf) -> list[Path]:
    """That of a kind among a ComfyUI's models, where `folder` is it or its ``models``; empty when it is neither."""
    name = COMFYUI[shelf]
    if folder and any(is_folder(folder / "models" / one) for one in COMFYUI.values()):
        return [folder / "models" / name]
    return [folder / name] if folder and is_folder(folder / name) else []


def _controlnet_folders() -> list[Path | None]:
    given = [_option("controlnet_dir"), _setting("control_net_models_path")]
    return [*given, Path(paths.models_path, "ControlNet"), *(home / "models" for home in _controlnet_homes())]


def _annotator_folders() -> list[Path]:
    given = [_option("controlnet_annotator_models_path"), _setting("control_net_modules_path")]
    return [*(f for f in given if f), *(home / "annotator" / "downloads" for home in _controlnet_homes())]


def _controlnet_homes() -> list[Path]:
    return [Path(paths.data_path, "extensions", name) for name in ("sd-webui-controlnet", "controlnet")]


def _option(name: str) -> Path | None:
    value = getattr(shared.cmd_opts, name, None)
    return Path(value) if value else None


def _setting(name: str) -> Path | None:
    value = shared.opts.data.get(name)
    return Path(paths.data_path, value) if value else None


def _existing(own: Sequence[Path | None], others: Sequence[Path | None]) -> list[Path]:
    """Own folders always, because messages name them; others where they exist. Each once."""
    wanted = [*(f for f in own if f), *(f for f in others if f and is_folder(f))]
    return list(dict.fromkeys(wanted))
