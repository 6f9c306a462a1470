"""What of a prompt goes unread: CLIP has a limit, and everything behind it is dropped without a word."""

from __future__ import annotations

from typing import Any

SHOWN = 80
"""Characters of what goes unread that are said."""


def unread(tokenizer: Any, prompt: str, what: str) -> str:
    """A sentence where `prompt` is longer than CLIP reads; else nothing. `what`: its name."""
    most = tokenizer.model_max_length
    numbers = tokenizer(prompt).input_ids
    if len(numbers) <= most:
        return ""
    # Begin and end are two tokens, and the end stays.
    rest = tokenizer.decode(numbers[most - 1 : -1]).strip()
    short = rest if len(rest) <= SHOWN else f"{rest[:SHOWN]} ..."
    return f"The {what} has {len(numbers) - 2} tokens, and only {most - 2} are read; this is left out: {short!r}."
