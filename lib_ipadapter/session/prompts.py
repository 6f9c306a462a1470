"""Image prompts that the user has saved: as a file of a name, or as a file's content."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from lib_ipadapter.errors import CheckpointError, HostError, UnitError, reason
from lib_ipadapter.maths.embeds import ImagePromptEmbeds
from lib_ipadapter.model.prompt_file import MAX_BYTES, SavedPrompt
from lib_ipadapter.model.variant import Variant
from lib_ipadapter.model.writing import whole
from lib_ipadapter.session.files import ModelFile, list_files, saved_folders
from lib_ipadapter.session.given import LONGEST_FILE_NAME, Given, plain_name
from lib_ipadapter.session.naming import find_saved, named
from lib_ipadapter.session.room import check_tokens
from lib_ipadapter.session.stamps import stamp

FOLDER = "prompts"
"""Below an adapter folder: where saved image prompts are searched."""

SUFFIX = ".safetensors"

EXPECTED = "the name of a saved image prompt, or such a file's content in base64"


class GivenPrompt(Given):
    """What a unit's field `embeds` holds; the data are such a file's content."""

    @classmethod
    def parse(cls, value: Any) -> GivenPrompt | None:
        """Any form that a user may give. Raises `UnitError`."""
        if value is None or isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise UnitError(f"IP-Adapter: embeds must be {EXPECTED}; got {type(value).__name__}.")
        name = plain_name(value)
        if not name:
            return None
        return cls(name=name) if len(name) <= LONGEST_FILE_NAME else cls(data=_decoded(value))

    @cached_property
    def count(self) -> int | None:
        """How many pictures were saved in it; None where only the file tells, or what was given is damaged."""
        try:
            return None if self.name else len(SavedPrompt.parse(self.data, "embeds").embeds.cond)
        except CheckpointError:
            return None

    def read(self, folders: Sequence[Path]) -> SavedPrompt:
        """The prompt; a name is searched in `folders`. Raises `IPAdapterError`."""
        if not self.name:
            return SavedPrompt.parse(self.data, "embeds")
        file = find_prompt(self.name, folders)
        try:
            with file.path.open("rb") as content:
                return SavedPrompt.parse(content.read(MAX_BYTES + 1), file.path.name)
        except OSError as error:
            raise CheckpointError(f"{file.path.name} cannot be read ({reason(error)}); save it again.") from error

    def identity(self, folders: Sequence[Path]) -> tuple[object, ...]:
        """Changes when what `read` gives changes."""
        if not self.name:
            return (self.digest,)
        return (stamp(find_prompt(self.name, folders).path),)


def prompt_folders(adapter_folders: Sequence[Path]) -> list[Path]:
    """Where saved prompts are searched; the first is where they are put."""
    return saved_folders(adapter_folders, FOLDER)


def list_prompts(folders: Sequence[Path]) -> list[ModelFile]:
    """Everything in `folders` that could be a saved prompt, by name."""
    return list_files(folders, (SUFFIX,))


def find_prompt(name: str, folders: Sequence[Path]) -> ModelFile:
    """The saved prompt called `name`, spelled as freely as an adapter's. Raises `UnitError`."""
    return find_saved("image prompt", name, list_prompts(folders), folders)


def fitting(prompt: SavedPrompt, adapter: str, sha256: str, variant: Variant) -> ImagePromptEmbeds:
    """The tokens of a prompt for the adapter called `adapter` with this content. Raises `UnitError` for any other."""
    if prompt.adapter_sha256 != sha256:
        raise UnitError(
            f"The saved image prompt was made with another adapter than {adapter}: with {prompt.adapter or 'unknown'}"
            f" ({prompt.variant or 'unknown'}, SHA-256 {prompt.adapter_sha256[:12] or 'unknown'}); choose that one, or"
            " save the picture again with this one."
        )
    # The hash is what the file says of itself, and a file may come from anybody.
    items, tokens, width = prompt.embeds.cond.shape
    if width != variant.width:
        raise UnitError(
            f"The saved image prompt has image tokens {width} wide, and {adapter} takes {variant.width}; save the"
            " picture again with this adapter."
        )
    check_tokens(items + 1, tokens, variant)
    return prompt.embeds


def write_prompt(prompt: SavedPrompt, path: Path) -> None:
    """Writes the file, whole or not at all. Raises `HostError`."""
    with whole(path, HostError) as part:
        part.write_bytes(prompt.data())


def new_path(name: str, folders: Sequence[Path]) -> Path:
    """`path_for` a prompt that there is not yet, however its name is spelled. Raises `UnitError`."""
    path = path_for(name, folders)
    if found := named(path.stem, list_prompts(folders)):
        raise UnitError(
            f"There is a saved image prompt called {found.name!r} already; choose another name, or delete"
            f" {found.path.name} first."
        )
    return path


def path_for(name: str, folders: Sequence[Path]) -> Path:
    """Where a prompt that the user calls `name` is put. A name leads nowhere else. Raises `UnitError`."""
    plain = " ".join(name.split()).removesuffix(SUFFIX)
    if not plain or len(plain) > 100 or set(plain) & set('/\\:*?"<>|\0') or plain.startswith("."):
        raise UnitError(
            f'An image prompt must be called by one to 100 characters without / \\ : * ? " < > | and no dot in front;'
            f" got {name[:40]!r}."
        )
    return folders[0] / f"{plain}{SUFFIX}"


def _decoded(text: str) -> bytes:
    if len(text) > MAX_BYTES * 4 // 3 + 1024:
        raise UnitError(f"IP-Adapter: embeds has {len(text) >> 20} MB of base64; the limit is {MAX_BYTES >> 20} MB.")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnitError(f"IP-Adapter: embeds must be {EXPECTED}; this is no base64: {text[:24]!r}.") from None
