"""A single-file checkpoint of SD1.5 or SDXL (original keys) as a pipeline, from local files alone.

diffusers' own ``from_single_file`` of a pipeline asks the hub for configuration and tokenizers.
The configuration is the family's own, or a YAML beside the file; the tokenizer is the one thing that must be there.

::

    family.py      which family a file is of, and what is refused by name
    config.py      the sizes: a YAML's, or those of SD1.5 and SDXL
    tokenizer.py   where the CLIP vocabulary is
    parts.py       UNet and autoencoder          text.py       CLIP's and OpenCLIP's text towers
    scheduler.py   the noise levels              sd15.py, sdxl.py    all of it put together
"""

from __future__ import annotations

from pathlib import Path

import torch

from lib_ipadapter.hosts.diffusers import Pipeline
from lib_ipadapter.hosts.diffusers_single_file import sd15, sdxl
from lib_ipadapter.hosts.diffusers_single_file.config import read_config
from lib_ipadapter.hosts.diffusers_single_file.family import detect
from lib_ipadapter.hosts.diffusers_single_file.parts import Original
from lib_ipadapter.hosts.diffusers_single_file.tokenizer import find_tokenizer
from lib_ipadapter.model.layouts import unwrapped
from lib_ipadapter.model.variant import Base
from lib_ipadapter.model.weights_file import read_any, read_any_shapes

READERS = {Base.SD15: sd15.read, Base.SDXL: sdxl.read}


def read_single_file(
    path: Path,
    dtype: torch.dtype,
    config: Path | None = None,
    tokenizer: Path | None = None,
    *,
    vae_dtype: torch.dtype | None = None,
) -> Pipeline:
    """The pipeline in one file, its autoencoder in `vae_dtype`, where given.

    Raises `CheckpointError`, wherever it can before gigabytes are read.
    """
    base = detect(path.name, unwrapped(read_any_shapes(path)))
    params = read_config(path, config, base)
    vocabulary = find_tokenizer(path, tokenizer, params)
    return READERS[base](Original(path.name, params, unwrapped(read_any(path)), dtype, vae_dtype), vocabulary)
