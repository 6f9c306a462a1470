"""What leaves this machine says neither where it keeps its files nor whose account it is."""

from __future__ import annotations

import importlib
from pathlib import Path, PureWindowsPath
from types import ModuleType

import pytest

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model import insight
from tests.webui.fake_host import FakeWebUI


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ada" / "webui"


@pytest.fixture
def folders(data: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    FakeWebUI(data).install(monkeypatch)
    monkeypatch.setattr(Path, "home", lambda: data.parent)
    return importlib.import_module("lib_ipadapter.hosts.a1111_folders")


def test_where_the_models_of_faces_belong_goes_by_places_below_the_webuis(folders: ModuleType, data: Path) -> None:
    roots = [data / "models" / "insightface", data.parent / ".insightface"]
    with pytest.raises(UnitError) as said:
        insight._root(roots)
    shown = folders.without_folders(str(said.value))
    places = [str(Path(place, "models", "buffalo_l")) for place in ("models/insightface", ".insightface")]
    assert f"into {' or '.join(places)}." in shown


@pytest.mark.parametrize(
    ("there", "shown"),
    [
        ("webui/log/a.png", "log/a.png"),
        ("webui", "."),
        (".cache/torch/a.bin", "~/.cache/torch/a.bin"),
        ("", "~"),
    ],
)
def test_any_other_place_goes_by_its_own_below_the_webuis_data_or_the_home(
    there: str, shown: str, folders: ModuleType, data: Path
) -> None:
    place = data.parent / there
    for said in (f"{place}", f"{place}.", f"{place} cannot be read", f"({place}) is full", f"{str(place)!r} is none"):
        assert folders.without_folders(said) == said.replace(str(place), shown)


@pytest.mark.parametrize("slash", ["\\", "\\\\", "/"])
def test_so_does_one_of_windows_however_it_is_written(slash: str, folders: ModuleType) -> None:
    home, said = PureWindowsPath("C:\\Users\\Ada L"), slash.join(["'C:", "Users", "Ada L", "a.bin'"])
    assert folders._shortened(said, home, alone="~", below=r"~\1") == f"'~{slash}a.bin'"
    assert folders._shortened(said, PureWindowsPath("C:\\"), alone="~", below=r"~\1") == said


def test_what_only_looks_like_them_stays(folders: ModuleType, data: Path) -> None:
    for said in (f"/mnt{data.parent}/a", f"{data.parent}x/a", "https://ada.org/a"):
        assert folders.without_folders(said) == said


@pytest.mark.parametrize("home", ["/", None, "relative"])
def test_a_machine_without_homes_loses_no_slash(
    home: str | None, folders: ModuleType, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        if home is None:
            raise RuntimeError("Could not determine home directory.")
        return Path(home)

    monkeypatch.setattr(Path, "home", no_home)
    assert folders.without_folders("a/b is relative/c, not /c") == "a/b is relative/c, not /c"
    assert folders.without_folders(f"{data}/a") == "a"
