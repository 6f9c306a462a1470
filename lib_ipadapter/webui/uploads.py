"""Gradio 3's field for files opens whatever file a page names; this one opens what was uploaded, and nothing else.

To be imported where gradio is that old: later ones look themselves, and write a ``.pyi`` beside each kind of component.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr


class UploadedFiles(gr.File):
    """Pictures that a page has uploaded."""

    def get_block_name(self) -> str:
        """The front end knows no other kind of field for files."""
        return "file"

    def preprocess(self, payload: Any) -> Any:
        """Raises `gr.Error` before a file is opened that no page has uploaded."""
        several: Any = payload if isinstance(payload, list) else [payload]
        for one in several:
            if one and one.get("is_file") and not is_uploaded(one["name"]):
                raise gr.Error("IP-Adapter: this file was not uploaded by a page; drop it into the field itself.")
        given: Any = payload
        return super().preprocess(given)


def is_uploaded(name: str) -> bool:
    """Whether the file, also where `name` is a link, lies in the folder into which gradio 3 puts uploads."""
    # As gradio itself finds that folder, at each start of the server (routes.py:118).
    folder = os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir(), "gradio")
    return Path(name).resolve().is_relative_to(Path(folder).resolve())
