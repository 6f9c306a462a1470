"""The house rules as functions over a file's syntax tree: each gives the places where its rule is broken.

Nothing here imports what it checks, so a file that cannot be imported on this machine is checked all the same.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = "lib_ipadapter"

FLOORS = ({"maths"}, {"model"}, {"patch"}, {"session"}, {"hosts"}, {"training"}, {"webui", "cli"})
"""Lowest first. Rooms of one floor do not import each other; the command line starts a training, so it is above it."""

GUESTS = {
    "maths": {"torch"},
    "model": {"torch", "safetensors", "transformers", "numpy", "PIL"},
    "patch": {"torch"},
    "session": {"torch", "PIL", "huggingface_hub", "filelock"},
}
"""Room -> third-party packages that it may import; higher rooms may import any that is not in `PLACES`."""

EXCEPTIONS = {
    "lib_ipadapter/maths/shapes.py": {"jaxtyping"},
    "lib_ipadapter/model/insight.py": {"insightface"},
}

PLACES = {
    "modules": ("lib_ipadapter/hosts/a1111", "lib_ipadapter/hosts/forge", "lib_ipadapter/webui/", "scripts/"),
    "gradio": ("lib_ipadapter/webui/", "lib_ipadapter/cli/"),
    "diffusers": ("lib_ipadapter/hosts/diffusers", "lib_ipadapter/training/"),
}
"""Package -> beginnings of the paths that may import it."""

LIMITS = {"file": 300, "script": 80, "function": 40, "positional": 5}

STATE = {("lib_ipadapter/session/library.py", "LIBRARY"), ("scripts/ip_adapter.py", "door")}
"""The only names at the top of a module or class that may stand for something that changes."""

REGISTERING = ("scripts/", "lib_ipadapter/cli/app.py")
"""Where importing may do something: tell the program around it what there is to call."""

LEFTOVERS = re.compile(r"\b(TODO|FIXME|XXX|HACK|NOCOMMIT)\b")

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
CONTAINERS = {"list", "dict", "set", "bytearray", "defaultdict", "OrderedDict", "Counter", "deque"}
CONTAINERS |= {"WeakKeyDictionary", "WeakValueDictionary", "WeakSet"}
MUTATORS = {"append", "add", "extend", "insert", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear"}
MUTATORS |= {"appendleft", "popleft", "sort", "reverse", "__setitem__"}


@dataclass(frozen=True)
class Source:
    """One Python file: its path below the repository, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        """``maths`` for ``lib_ipadapter/maths/attention.py``; empty outside the rooms."""
        parts = self.path.split("/")
        return parts[1] if parts[0] == PACKAGE and len(parts) > 2 else ""

    @property
    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and full name of every import, wherever in the file it stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                home = self.path.split("/")[: -node.level] if node.level else []
                base = ".".join([*home, *([node.module] if node.module else [])])
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)

    @property
    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, FUNCTIONS))

    def at(self, line: int, what: str) -> str:
        return f"{self.path}:{line} {what}"


def sources(root: Path) -> list[Source]:
    """Everything that is shipped into the WebUI or run from the command line."""
    found = [*root.glob("*.py"), *(root / "scripts").rglob("*.py"), *(root / PACKAGE).rglob("*.py")]
    return _read(root, found)


def workshop(root: Path) -> list[Source]:
    """What makes and shows the pocket model."""
    return _read(root, (root / "pocket").rglob("*.py"))


def _read(root: Path, paths: Iterable[Path]) -> list[Source]:
    return [Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in sorted(paths)]


def floor(room: str) -> int:
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), -1)


def climbs(source: Source) -> list[str]:
    """Imports from a higher floor, or from another room of the same one."""
    found = []
    for line, name in source.imports:
        parts = name.split(".")
        if not source.room or parts[0] != PACKAGE or len(parts) < 2 or floor(parts[1]) < 0:
            continue
        if parts[1] != source.room and floor(parts[1]) >= floor(source.room):
            found.append(source.at(line, f"{source.room} imports {name}"))
    return found


def strangers(source: Source) -> list[str]:
    """Third-party packages that a low room may not know."""
    allowed = GUESTS.get(source.room)
    if allowed is None:
        return []
    known = sys.stdlib_module_names | allowed | EXCEPTIONS.get(source.path, set()) | {PACKAGE}
    return [
        source.at(line, f"{source.room} imports {name}")
        for line, name in source.imports
        if name.split(".")[0] not in known
    ]


def misplaced(source: Source) -> list[str]:
    """A host's packages outside the few files that may know it."""
    return [
        source.at(line, f"imports {name}")
        for line, name in source.imports
        if (places := PLACES.get(name.split(".")[0])) and not source.path.startswith(places)
    ]


def too_long(source: Source) -> list[str]:
    """Files and functions over their number of lines, docstrings included."""
    limit = LIMITS["script" if source.path.startswith("scripts/") else "file"]
    lines = len(source.text.splitlines())
    found = [source.at(limit, f"has {lines} lines")] if lines > limit else []
    for function in source.functions:
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > LIMITS["function"]:
            found.append(source.at(function.lineno, f"{function.name} has {length} lines"))
    return found


def too_many_positional(source: Source) -> list[str]:
    """More than five parameters that a caller could give by position; ``self`` does not count."""
    found = []
    for function in source.functions:
        names = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > LIMITS["positional"]:
            found.append(source.at(function.lineno, f"{function.name} has {count} positional parameters"))
    return found


def undocumented(source: Source) -> list[str]:
    """Modules, and public functions and classes at their top, without a docstring."""
    nodes = [node for node in source.tree.body if isinstance(node, (*FUNCTIONS, ast.ClassDef))]
    public = [node for node in nodes if not node.name.startswith("_")]
    missing = [source.at(node.lineno, f"{node.name} has no docstring") for node in public if not _docstring(node)]
    return ([] if _docstring(source.tree) or not source.tree.body else [source.at(1, "has no docstring")]) + missing


def leftovers(source: Source) -> list[str]:
    """Notes to oneself."""
    lines = enumerate(source.text.splitlines(), start=1)
    return [source.at(number, match[1]) for number, line in lines if (match := LEFTOVERS.search(line))]


def deeds_at_import(source: Source) -> list[str]:
    """Statements at the top of a module that do something rather than define something."""
    deeds = (ast.For, ast.While, ast.With, ast.AugAssign, ast.Delete, ast.Raise)
    found = []
    for node in source.tree.body:
        call = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
        if (call or isinstance(node, deeds)) and not source.path.startswith(REGISTERING):
            found.append(source.at(node.lineno, f"{ast.unparse(node)[:60]!r} at import"))
    return found


def hidden_state(source: Source, mutable_classes: set[str], containers: set[str]) -> list[str]:
    """Whatever outlives a call and can change: globals, caches, shared instances, containers that are written to."""
    found = [source.at(n.lineno, "global") for n in ast.walk(source.tree) if isinstance(n, ast.Global)]
    for function in source.functions:
        if any(_tail(_called(d)) in {"cache", "lru_cache"} for d in function.decorator_list):
            found.append(source.at(function.lineno, f"{function.name} keeps a cache"))
        found += [source.at(line, f"{name} is written to") for line, name in _writes(function, containers)]
    for name, value in module_values(source):
        if isinstance(value, ast.Call) and _tail(value.func) in mutable_classes and (source.path, name) not in STATE:
            found.append(source.at(value.lineno, f"{name} is an instance of {_tail(value.func)}"))
    return found


def mutable_classes(files: list[Source]) -> set[str]:
    """Names of the package's own classes whose instances can change."""
    classes = [node for source in files for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)]
    return {node.name for node in classes if not _frozen(node)}


def module_containers(files: list[Source]) -> set[str]:
    """Names of lists, dictionaries and sets at the top of any module or class."""
    return {
        name
        for source in files
        for name, value in module_values(source)
        if isinstance(value, DISPLAYS) or (isinstance(value, ast.Call) and _tail(value.func) in CONTAINERS)
    }


def module_values(source: Source) -> Iterator[tuple[str, ast.expr]]:
    """Name and value of each assignment at the top of the module and of its classes."""
    bodies = [source.tree.body, *(n.body for n in source.tree.body if isinstance(n, ast.ClassDef))]
    for node in (node for body in bodies for node in body):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            yield from ((target.id, node.value) for target in targets if isinstance(target, ast.Name))


def _writes(function: Function, containers: set[str]) -> Iterator[tuple[int, str]]:
    """Places in a function where one of `containers` is changed, unless the name is the function's own."""
    own = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    own |= {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}
    for node in ast.walk(function):
        written: ast.expr | None = None
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            written = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            written = node.func.value
        if written is not None and (name := _tail(written)) in containers and not _is(written, own):
            yield node.lineno, name


def _is(node: ast.expr, own: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in own


def _frozen(node: ast.ClassDef) -> bool:
    frozen = any("frozen=True" in ast.unparse(decorator) for decorator in node.decorator_list)
    return frozen or any(_tail(base).endswith(("Enum", "Protocol", "Error", "Exception")) for base in node.bases)


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _tail(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _docstring(node: ast.Module | ast.ClassDef | Function) -> str | None:
    return ast.get_docstring(node)
