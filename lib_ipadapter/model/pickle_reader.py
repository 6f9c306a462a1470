"""What a header of ``torch.save`` says, with headers in place of tensors.

Nothing in a file is trusted. Carried out is only what torch writes for dictionaries of tensors: nothing is imported and
nothing called, and of each thing only what torch puts there is taken.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

from lib_ipadapter.model.pickle_stand_ins import FUNCTIONS, STORAGES, Name, Storage

CLASS = re.compile(rb"([\w.]+)\n(\w+)\n")
UINT16, INT32, UINT32, FLOAT = map(struct.Struct, ("<H", "<i", "<I", ">d"))
BYTE, RECALL, REMEMBER, REMEMBER_LONG = map(ord, "Khqr")


class Reader:
    """Makes dictionaries, lists, tuples, numbers, texts, and headers in place of tensors."""

    def __init__(self, header: bytes, memories: str, sizes: Mapping[str, int]) -> None:
        """`memories`: the archive's folder of them; `sizes`: of its members."""
        self.header = header
        self.memories = memories
        self.sizes = sizes
        self.place = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """What the header says, if it ends where it says so."""
        if self.header[:2] != b"\x80\x02" or not self.header.endswith(b"."):
            raise ValueError("another protocol")
        header, stack, memo = self.header, self.stack, self.memo
        place, end = 2, len(header) - 1
        while place < end:
            code, place = header[place], place + 1
            # Two of three instructions are one of these four; a call for each would take longer than they do.
            if code == REMEMBER_LONG:
                memo[UINT32.unpack_from(header, place)[0]] = stack[-1]
                place += 4
            elif code == BYTE:
                stack.append(header[place])
                place += 1
            elif code == RECALL:
                stack.append(memo[header[place]])
                place += 1
            elif code == REMEMBER:
                memo[header[place]] = stack[-1]
                place += 1
            else:
                self.place = place
                INSTRUCTIONS[code](self)
                place = self.place
        (content,) = stack
        if place != end:
            raise ValueError("cut short")
        return content

    def number(self, form: struct.Struct) -> Any:
        """The next bytes as a number."""
        (value,) = form.unpack_from(self.header, self.place)
        self.place += form.size
        return value

    def text(self) -> str:
        """The next one, with its length before it."""
        length = self.number(UINT32)
        found = self.header[self.place : self.place + length]
        self.place += length
        if len(found) < length:
            raise ValueError("cut short")
        return found.decode()

    def name(self) -> Name:
        """The next name, which is that of a class or function known here."""
        found = CLASS.match(self.header, self.place)
        if not found:
            raise ValueError("no name")
        self.place = found.end()
        name = Name(b" ".join(found.groups()).decode())
        if name not in FUNCTIONS and name not in STORAGES:
            raise ValueError("a name of something else")
        return name

    def slice(self) -> list[Any]:
        """Everything since the last mark, taken away."""
        begin = self.marks.pop()
        found = self.stack[begin:]
        del self.stack[begin:]
        return found

    def pop(self, count: int) -> list[Any]:
        """The last ones, taken away."""
        found = self.stack[-count:]
        if len(found) < count:
            raise ValueError("nothing there")
        del self.stack[-count:]
        return found

    def push_tuple(self, items: list[Any]) -> None:
        """As deep as a tensor's arguments and no deeper: what is deeper takes endless time to be compared."""
        if any(type(item) is tuple and any(type(inner) is tuple for inner in item) for item in items):
            raise ValueError("deeper than torch writes")
        self.stack.append(tuple(items))

    def set_items(self, items: list[Any]) -> None:
        """Into the dictionary before them."""
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise ValueError("no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):
                raise ValueError("no key")
            target[key] = value

    def append(self, items: list[Any]) -> None:
        """To the list before them."""
        if type(self.stack[-1]) is not list:
            raise ValueError("no list")
        self.stack[-1].extend(items)

    def drop_attributes(self) -> None:
        """A module's state is a dictionary with the versions of its parts as an attribute."""
        target, _ = self.pop(2)
        if type(target) is not dict:
            raise ValueError("no dictionary")
        self.stack.append(target)

    def push_storage(self) -> None:
        """A tensor's memory, of as many values as it claims, where the file holds them."""
        (what,) = self.pop(1)
        storage, kind, key, _, values = what
        if storage != "storage" or type(kind) is not Name or type(key) is not str or type(values) is not int:
            raise ValueError("no memory")
        if not 0 <= values * STORAGES[kind] <= self.sizes[self.memories + key]:
            raise ValueError("more than the file holds")
        self.stack.append(Storage(values))

    def call(self) -> None:
        """A function of torch's is called: ours in its place, which makes a header."""
        function, arguments = self.pop(2)
        if type(function) is not Name or type(arguments) is not tuple:
            raise ValueError("no function")
        self.stack.append(FUNCTIONS[function](*arguments))


def _pushing(make: Callable[[Reader], Any]) -> Callable[[Reader], None]:
    return lambda reader: reader.stack.append(make(reader))


INSTRUCTIONS: dict[int, Callable[[Reader], None]] = {
    ord("("): lambda reader: reader.marks.append(len(reader.stack)),
    ord(")"): _pushing(lambda _: ()),
    ord("]"): _pushing(lambda _: []),
    ord("}"): _pushing(lambda _: {}),
    ord("N"): _pushing(lambda _: None),
    0x88: _pushing(lambda _: True),
    0x89: _pushing(lambda _: False),
    ord("M"): _pushing(lambda reader: reader.number(UINT16)),
    ord("J"): _pushing(lambda reader: reader.number(INT32)),
    ord("G"): _pushing(lambda reader: reader.number(FLOAT)),
    ord("X"): _pushing(Reader.text),
    ord("c"): _pushing(Reader.name),
    ord("j"): _pushing(lambda reader: reader.memo[reader.number(UINT32)]),
    ord("t"): lambda reader: reader.push_tuple(reader.slice()),
    0x85: lambda reader: reader.push_tuple(reader.pop(1)),
    0x86: lambda reader: reader.push_tuple(reader.pop(2)),
    0x87: lambda reader: reader.push_tuple(reader.pop(3)),
    ord("s"): lambda reader: reader.set_items(reader.pop(2)),
    ord("u"): lambda reader: reader.set_items(reader.slice()),
    ord("a"): lambda reader: reader.append(reader.pop(1)),
    ord("e"): lambda reader: reader.append(reader.slice()),
    ord("b"): Reader.drop_attributes,
    ord("Q"): Reader.push_storage,
    ord("R"): Reader.call,
}
"""Those that torch writes for tensors (pickle's protocol 2), beside the four in the loop; others are a `KeyError`."""
