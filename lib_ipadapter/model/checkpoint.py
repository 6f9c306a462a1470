"""Adapter files: which format, which keys, header or whole; written whole or not at all.

The format is decided by content, never by suffix, and a pickle is only ever read with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import zipfile
from collections.abc import Callable, Collection, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lib_ipadapter.errors import CheckpointError, NotAnAdapterError, reason, some
from lib_ipadapter.model import foreign, pickle_header
from lib_ipadapter.model.dialects import joined, joined_shapes
from lib_ipadapter.model.layouts import unwrapped, unwrapped_key, whole_adapter
from lib_ipadapter.model.pickle_depth import PICKLES, too_deep
from lib_ipadapter.model.pickle_header import flat
from lib_ipadapter.model.variant import Shapes
from lib_ipadapter.model.writing import whole

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".sft")
"""Only by these a file in a folder is looked at at all; what it is, its content says."""

PREFIXES = {
    "image_proj.": "image_proj.",
    "ip_adapter.": "ip_adapter.",
    "image_proj_model.": "image_proj.",
    "adapter_modules.": "ip_adapter.",
}
"""Prefix in the file -> ours. Where a file holds a part under both names, the first in this list wins."""

OTHER_ADAPTERS = {
    r"ip_adapter_double_stream_|^ip_adapter_proj_model\.": "XLabs' IP-Adapter for Flux, which has no cross-attention",
    r"^pulid_(encoder|ca)\.": "PuLID for Flux, which has no cross-attention",
    r"^id_adapter(_attn_layers)?\.": "PuLID, which needs an encoder of its own",
}
"""Pattern of keys -> adapters for other models. Lists show them: somebody put them there to use them."""

WHOLE_PICKLE_LIMIT = 1 << 30
"""Bytes. An old-style pickle has to be read whole to be looked at; no published adapter is one."""


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Published key -> shape, without the weights: milliseconds, whatever the size of a safetensors file or a zip."""
    shapes = unwrapped(_open(path, shapes_only=True))
    return joined_shapes(sources(shapes, path), shapes)


def read(path: Path) -> dict[str, Tensor]:
    """Published key -> tensor on the CPU, in the file's own dtype; nothing but the adapter is loaded."""
    shapes = _open(path, shapes_only=True)
    wanted = sources(unwrapped(shapes), path)
    parts = {part for keys in wanted.values() for part in keys}
    own = [key for key in shapes if unwrapped_key(key) in parts]
    return joined(wanted, unwrapped(_open(path, shapes_only=False, only=own)))


def read_leftovers(path: Path) -> list[str]:
    """Names of the parts of an adapter file that are not used: a second copy, an encoder, the UNet around it."""
    shapes = unwrapped(_open(path, shapes_only=True))
    used = {key for keys in sources(shapes, path).values() for key in keys}
    return sorted({key.split(".")[0] for key in shapes if key not in used})


def read_any(path: Path) -> dict[str, Tensor]:
    """Every tensor of any weights file, on the CPU, under its own key; nested dictionaries as dotted keys."""
    return _open(path, shapes_only=False)


def read_any_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Key -> shape of every tensor of any weights file, as cheap as `read_shapes`."""
    return _open(path, shapes_only=True)


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself; empty where it says nothing, or is of another format."""
    with _as_sentence(path):
        head, _ = _sniff(path)
        if head[8:9] != b"{":
            return {}
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})


def write(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    check: Callable[[Path], None] = lambda _: None,
) -> None:
    """A safetensors file of `tensors` that `check` has looked at. Raises `CheckpointError`, and leaves the old one."""
    contiguous = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with whole(path) as part:
        part.touch()
        usual = part.stat().st_mode
        safetensors.torch.save_file(contiguous, part, {"format": "pt", **(metadata or {})})
        part.chmod(usual)  # safetensors since 0.8 would let nobody else read it
        check(part)


def sha256(path: Path) -> str:
    """Hash of the whole file, in hex. Reads all of it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sources(shapes: Shapes, path: Path) -> dict[str, tuple[str, ...]]:
    """Published key -> keys of the file, whose tensors, one after the other, are its value.

    Raises `NotAnAdapterError` for a model of another kind, else `CheckpointError`.
    """
    result: dict[str, tuple[str, ...]] = {}
    for theirs, ours in PREFIXES.items():
        if not any(key.startswith(ours) for key in result):
            result |= {ours + key.removeprefix(theirs): (key,) for key in shapes if key.startswith(theirs)}
    if {key.split(".")[0] for key in result} == {"image_proj", "ip_adapter"}:
        return result
    for pattern, what in OTHER_ADAPTERS.items():
        if any(re.search(pattern, key) for key in shapes):
            raise CheckpointError(f"{path.name} is {what}, and cannot be used here; choose one for SD1.5 or SDXL.")
    if any("to_k_ip" in key for key in shapes):
        return whole_adapter(shapes, path.name)[1]
    raise NotAnAdapterError(f"{path.name} is not an IP-Adapter: {_what_else(shapes)}.")


def _what_else(keys: Collection[str]) -> str:
    if other := foreign.name_of(keys):
        return f"it looks like {other}; choose an adapter file (keys image_proj.* and ip_adapter.*)"
    return f"expected keys image_proj.* and ip_adapter.*, found {some(sorted(keys), 3)}"


def _open(path: Path, *, shapes_only: bool, only: Collection[str] | None = None) -> dict[str, Any]:
    """Flat key -> tensor or shape, of `only` these keys, by the reader that the first bytes ask for."""
    with _as_sentence(path):
        head, size = _sniff(path)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
            return _read_safetensors(path, shapes_only=shapes_only, only=only)
        if head.startswith((b"PK\x03\x04", b"\x80")):
            found = _read_pickle(path, shapes_only=shapes_only)
            return {key: found[key] for key in only} if only is not None else found
    raise CheckpointError(f"{path.name} is {_not_weights(head)}; download it again.")


def _sniff(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        return file.read(64), path.stat().st_size


def _not_weights(head: bytes) -> str:
    if not head:
        return "an empty file"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file it points to"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page, not a model"
    return "neither a safetensors nor a PyTorch file, or it is cut short"


def _read_safetensors(path: Path, *, shapes_only: bool, only: Collection[str] | None) -> dict[str, Any]:
    with safetensors.safe_open(path, framework="pt") as file:
        keys = file.keys() if only is None else only
        if shapes_only:
            header = _safetensors_header(path)
            return {key: tuple(header[key]["shape"]) for key in keys}
        return {key: file.get_tensor(key) for key in keys}


def _safetensors_header(path: Path) -> dict[str, Any]:
    """Of a file that `safe_open` has found to be sound; asked for shapes one by one that takes three times as long."""
    with path.open("rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "little")))


def _read_pickle(path: Path, *, shapes_only: bool) -> dict[str, Any]:
    """A zip is looked at without torch where that is enough for its shapes; all else ``torch.load`` reads."""
    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, path)
            if shapes_only and (shapes := pickle_header.read_shapes(archive)) is not None:
                return shapes
            for name in archive.namelist():
                if name.endswith("data.pkl"):
                    _check_depth(io.BytesIO(archive.read(name)), path)
    elif path.stat().st_size > WHOLE_PICKLE_LIMIT:
        raise CheckpointError(f"{path.name} is an old-style PyTorch file of over 1 GB; convert it to safetensors.")
    else:
        with path.open("rb") as file:
            _check_depth(file, path, PICKLES)
    found = _load_pickle(path, zipped)
    return {key: tuple(t.shape) if shapes_only else t for key, t in found.items()}


def _load_pickle(path: Path, zipped: bool) -> dict[str, Tensor]:
    """``torch.load`` with memory mapping, so that nothing is read that is not used.

    The loader is taken from `torch.serialization`, because the WebUI replaces ``torch.load`` by one that
    falls back to the unsafe unpickler and refuses what today's torch writes.
    """
    # torch 2.13 goes by the suffix, and only for names; mapping needs a name, in torch 2.1 one that is a string.
    mapped = zipped and path.suffix != ".safetensors"
    with path.open("rb") as file:
        source = str(path) if mapped else file
        content = torch.serialization.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    found = flat(content, Tensor)
    for key, tensor in found.items():
        # With steps of zero a pickle of some bytes claims terabytes, which the first that computes would allocate.
        held = 0 if tensor.is_meta else tensor.untyped_storage().nbytes()
        if tensor.nbytes > held:
            raise CheckpointError(
                f"{path.name} is damaged: {key[:60]} claims more values than the file holds; download it again."
            )
    return found


def _check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Before torch sees it: 2.5 and older run a TorchScript program, whatever ``weights_only`` says (CVE-2025-32434).

    Torch stores, it never compresses; what would unpack to more than its file is made to fill memory.
    """
    members = archive.infolist()
    if any(member.filename.endswith("/constants.pkl") or "/code/" in member.filename for member in members):
        raise CheckpointError(f"{path.name} is a TorchScript program, not weights, and was not run; get another file.")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise CheckpointError(f"{path.name} is damaged: it claims more weights than the file holds; download it again.")


def _check_depth(file: IO[bytes], path: Path, pickles: int = 1) -> None:
    """Before torch sees it, whose reader would end the process."""
    if too_deep(file, pickles):
        raise CheckpointError(f"{path.name} is damaged: no weights are nested as deep as these; download it again.")


@contextmanager
def _as_sentence(path: Path):
    """Turns what the readers raise into one sentence."""
    try:
        yield
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}.") from None
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path.name} holds code besides weights, or is cut short, and was not run;"
            " get the safetensors version of it."
        ) from None
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        why = reason(error).split(". ")[0]
        raise CheckpointError(f"{path.name} cannot be read ({why}); download it again.") from error
