"""What the process really takes: fifty references at the limits that users have, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.unit import Unit
from tests.models import filled, save_adapter, tiny_encoder, variant
from tests.session.fake_host import FakeHost

ROOT = Path(__file__).parents[2]
STATUS = Path("/proc/self/status")
SD15 = (320,) * 5 + (640,) * 5 + (1280,) * 6
"""Widths of its layers, as K and V are the largest of what is kept."""
COUNT = 50


def test_fifty_references_leave_memory_flat(tmp_path: Path) -> None:
    """Of 6 MB each, and 27 MB of K and V: the second half of them would be 680 MB more, of what is kept alone.

    Were the pictures themselves held, that would be 150.
    """
    if not (STATUS.is_file() and "VmHWM" in STATUS.read_text()):
        pytest.skip("this system does not tell a process's peak of memory by itself")
    half, whole = map(int, told_by(tmp_path).split())
    assert whole - half < 120


def told_by(folder: Path) -> str:
    """What `main` prints: this process has had other things in its memory."""
    command = [sys.executable, "-m", __name__, str(folder)]
    own = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=own, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def main(folder: Path) -> None:
    """Prints the peak in megabytes after half of the references, when what is kept is full, and after all."""
    path = save_adapter(filled(replace(variant(Kind.FULL), layers=SD15)), folder / "adapters" / "full.safetensors")
    tiny_encoder().save_pretrained(folder / "encoders" / "tiny", safe_serialization=True)
    library, host = Library(), FakeHost(folder)
    for number in range(COUNT):
        library.key_values(Unit.parse({"image": tall(number), "crop": "tiles"}), path, host)
        if number + 1 in (COUNT // 2, COUNT):
            print(peak())


def tall(seed: int) -> Image.Image:
    """Of eight tiles."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (4000, 500, 3), dtype=np.uint8))


def peak() -> int:
    """The most memory that this process has had, in megabytes."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found
    return int(found[1]) >> 10


if __name__ == "__main__":
    main(Path(sys.argv[1]))
