"""Differences between gradio 3.41, which the WebUI pins, and today's; and life without a WebUI."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

REFRESH_SYMBOL = "\U0001f504"


def accepts(function: Any, name: str) -> bool:
    """Whether this gradio's `function` has a parameter `name`."""
    return name in inspect.signature(function).parameters


IS_OLD = accepts(gr.Image, "source")
"""Whether this is gradio 3."""


def picture_input(**kwargs: Any) -> gr.Image:
    """A picture to upload, drop or paste; transparency arrives as it is."""
    sources = {"source": "upload"} if IS_OLD else {"sources": ["upload", "clipboard"]}
    # No mode: a fixed one would cut 16 bits down to 8 before we see them.
    return gr.Image(type="pil", image_mode=None, **sources, **kwargs)  # pyright: ignore[reportArgumentType]


def pictures_input(**kwargs: Any) -> gr.File:
    """Pictures to upload or drop, as many as one likes; what arrives is each uploaded file's content, never a path."""
    about: dict[str, Any] = {"file_count": "multiple", "file_types": ["image"], "type": "binary", **kwargs}
    if not IS_OLD:
        return gr.File(**about)
    from lib_ipadapter.webui.uploads import UploadedFiles  # noqa: PLC0415 - see there

    return UploadedFiles(**about)


def mask_input(**kwargs: Any) -> Any:
    """A mask to upload, or to draw over an uploaded picture; see `drawing.mask_of` for what arrives."""
    if IS_OLD:
        drawn: dict[str, Any] = {"source": "upload", "tool": "sketch", "brush_color": "#ffffff"}
        return gr.Image(type="pil", image_mode="RGBA", **drawn, **kwargs)
    brush = gr.Brush(colors=["#ffffff"], color_mode="fixed")
    return gr.ImageMask(type="pil", sources=["upload", "clipboard"], transforms=(), brush=brush, **kwargs)


def open_list(choices: Sequence[str], **kwargs: Any) -> gr.Dropdown:
    """A list in which one may write what it does not have; gradio 3's does not always take that by itself, see
    javascript/ip_adapter_written.js."""
    marked = {"elem_classes": ["ip-adapter-written"]} if IS_OLD else {}
    return gr.Dropdown(list(choices), allow_custom_value=True, **marked, **kwargs)


def html(text: str = "", **kwargs: Any) -> gr.HTML:
    """HTML without a border of empty space."""
    return gr.HTML(text, **({"padding": False} if accepts(gr.HTML, "padding") else {}), **kwargs)


def tab(label: str, **kwargs: Any) -> gr.Tab:
    """A tab whose components are in the page while another one is open; later gradios would leave them out."""
    return gr.Tab(label, **({"render_children": True} if accepts(gr.Tab, "render_children") else {}), **kwargs)


def refresh_button(**kwargs: Any) -> gr.Button:
    """The small square button that the WebUI has beside its lists."""
    try:
        from modules.ui_components import ToolButton  # noqa: PLC0415 - there is none outside the WebUI
    except ImportError:
        return gr.Button(REFRESH_SYMBOL, elem_classes=["tool"], min_width=40, scale=0, **kwargs)
    return ToolButton(value=REFRESH_SYMBOL, **kwargs)


def changed(component: Any) -> Any:
    """The event that says that the value of `component` is another one.

    A sketch of gradio 3 says so whenever the page is drawn, and after a script the page is: the two would go on for
    ever. Its `upload` comes before the sketch is complete, which gradio's own code cannot read; `edit` follows it.
    """
    is_sketch = IS_OLD and getattr(component, "tool", None) == "sketch"
    return component.edit if is_sketch else component.change


def run_script_on_change(component: Any, script: str) -> None:
    """Runs `script`, a JavaScript function, whenever the value changes, by hand or by program."""
    run_script(component.change, script, inputs=[component])


def run_script(event: Any, script: str, fn: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
    """Runs `script`, a JavaScript function, at `event`, a component's or what comes after one; then `fn` on what it
    returns."""
    name = "js" if accepts(event, "js") else "_js"
    return event(fn=fn, **{name: script}, **kwargs)


def for_each(outputs: Sequence[Any], update: Callable[[], Any]) -> Any:
    """What a function returns that does the same to each of its outputs: of a single one gradio wants no list."""
    updates = [update() for _ in outputs]
    return updates if len(updates) > 1 else updates[0]
