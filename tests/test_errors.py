"""Parts of sentences that several places say."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_ipadapter.errors import AmbiguousError, headline, reason, some


@pytest.mark.parametrize("sentence", ["It is cut short; download it again.", "It is cut short.", "It is cut short"])
def test_a_headline_has_neither_advice_nor_an_end(sentence: str) -> None:
    assert headline(sentence) == "It is cut short"


def test_of_many_names_the_first_few_are_said() -> None:
    assert (some([]), some("ab"), some(iter("abc"), 2)) == ("nothing", "a, b", "a, b ...")


def test_a_reason_is_one_line_and_never_empty() -> None:
    assert (reason(OSError("\n first \nsecond")), reason(AssertionError())) == ("first", "AssertionError")


def test_the_reason_of_a_system_error_names_no_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        (tmp_path / "absent").read_bytes()
    assert reason(error.value) == "No such file or directory"


def test_what_is_ambiguous_is_said_with_how_to_say_which() -> None:
    error = AmbiguousError("It may be a or b.", ("a", "b")).asking("give --kind")
    assert (str(error), error.choices) == ("It may be a or b; or give --kind a or b.", ("a", "b"))
