"""What was used last stays, within so many bytes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lib_ipadapter.session.library import LRU, Library


@dataclass
class Thing:
    nbytes: int


def kept(cache: LRU[Thing], names: str) -> str:
    return "".join(name for name in names if name in cache._items)


def test_a_cache_keeps_what_was_used_last_within_its_bytes() -> None:
    cache: LRU[Thing] = LRU(30)
    for name in "abcab":
        cache.get(name, lambda: Thing(10))
    cache.get("d", lambda: Thing(10))
    assert (kept(cache, "abcd"), cache.nbytes, len(cache)) == ("abd", 30, 3)
    cache.get("e", lambda: Thing(25))
    assert (kept(cache, "abcde"), cache.nbytes) == ("e", 25)


def test_the_units_of_a_large_job_outlast_each_others_turn() -> None:
    """Four of SDXL with plus and four pictures each."""
    cache, made = Library().computed, []
    for name in "abcd" * 2:
        cache.get(name, lambda name=name: made.append(name) or Thing(81 << 20))  # pyright: ignore[reportArgumentType]
    assert "".join(made) == "abcd"


def test_the_newest_stays_though_it_alone_is_too_large() -> None:
    cache: LRU[Thing] = LRU(0)
    for name in "ab":
        assert cache.get(name, lambda: Thing(10)).nbytes == 10
    assert kept(cache, "ab") == "b"


def test_what_could_not_be_made_is_not_kept() -> None:
    cache: LRU[Thing] = LRU(10)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: Thing(1 // 0))
    assert cache.get("a", lambda: Thing(1)) == Thing(1)
