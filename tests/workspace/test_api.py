"""What users of the library import: all of it from one place, typed, and described."""

import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epmstore import api, errors
from epmstore.api import AppHandle, UsageError, Workspace

FACETS: tuple[type, ...] = (
    Workspace,
    AppHandle,
    api.AppReading,
    api.Explaining,
    api.Marking,
    api.Obligations,
    api.Recording,
    api.Repairing,
    api.Restoring,
    api.Trees,
    api.Verifying,
    api.Apps,
    api.Blobs,
    api.Care,
    api.Catalogs,
    api.Identifier,
    api.Installing,
    api.Packages,
    api.Merging,
    api.Parametering,
    api.SiteParameters,
    api.ReadReport,
    api.Remotes,
    api.Vendors,
)
INNER = {
    ("ProductRelease", "package"),
    ("Recorded", "look"),
    ("Incoming", "read"),
    ("Incoming", "lines"),
}
"""Fields that are of use to epmstore alone."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


def members(facet: type) -> Iterator[tuple[str, Callable[..., object]]]:
    """The functions behind the public methods and properties of a class."""
    for name in dir(facet):
        found = inspect.getattr_static(facet, name)
        if name.startswith("_"):
            continue
        match found:
            case classmethod() | staticmethod():
                yield name, found.__func__
            case property():
                assert found.fget is not None
                yield name, found.fget
            case functools.cached_property():
                yield name, found.func
            case _:
                assert inspect.isfunction(found), f"{facet.__name__}.{name}"
                yield name, found


def hints(where: object) -> dict[str, typing.Any]:
    return typing.get_type_hints(where, localns=vars(api))


def ours(hint: object) -> Iterator[type]:
    """The types of epmstore in an annotation."""
    for part in (hint, typing.get_origin(hint), *typing.get_args(hint)):
        if isinstance(part, list):  # the arguments of a callable
            for one in part:
                yield from ours(one)
        elif part is not hint and typing.get_args(part):
            yield from ours(part)
        elif isinstance(part, type | typing.NewType) and part.__module__.startswith("epmstore"):
            yield part  # type: ignore[misc]


def spoken() -> Iterator[tuple[str, type]]:
    """(where, type) of all that public members take and return, and of all that is in that."""
    found = [(facet.__name__, facet) for facet in FACETS]
    for facet in FACETS:
        for name, function in members(facet):
            where = f"{facet.__name__}.{name}"
            found += [(where, one) for hint in hints(function).values() for one in ours(hint)]
    known: set[type] = set()
    while found:
        where, one = found.pop()
        if one in known:
            continue
        known.add(one)
        yield where, one
        if isinstance(one, type) and one not in FACETS:
            for field, hint in hints(one).items():
                if not field.startswith("_") and (one.__name__, field) not in INNER:
                    found += [(f"{where} > {one.__name__}.{field}", part) for part in ours(hint)]


def test_every_type_that_is_spoken_of_is_there() -> None:
    there = [getattr(api, name) for name in api.__all__]
    missing = {f"{one.__name__} of {where}" for where, one in spoken() if one not in there}
    assert not missing
    assert api.Result in {one for _, one in spoken()}, "or else nothing was looked at"


def test_every_error_is_there() -> None:
    for name, one in vars(errors).items():
        if isinstance(one, type) and issubclass(one, errors.EpmError):
            assert getattr(api, name) is one and name in api.__all__


@pytest.mark.parametrize("facet", FACETS)
def test_every_public_member_is_described(facet: type) -> None:
    assert facet.__doc__
    lacking = [name for name, _ in members(facet) if not inspect.getdoc(getattr(facet, name))]
    assert not lacking


@pytest.mark.parametrize("facet", FACETS)
def test_every_public_member_is_typed(facet: type) -> None:
    for name, function in members(facet):
        given = list(inspect.signature(function).parameters.values())
        bare = [one.name for one in given if one.annotation is one.empty]
        assert bare in ([], ["self"], ["cls"]), f"{facet.__name__}.{name}"
        assert "return" in hints(function), f"{facet.__name__}.{name}"


def test_every_exported_class_has_a_docstring() -> None:
    lacking = []
    for name in api.__all__:
        one = getattr(api, name)
        if isinstance(one, type) and one.__module__.startswith("epmstore"):
            lacking += [] if inspect.getdoc(one) else [name]
    assert not lacking


def test_the_page_names_every_member() -> None:
    page = DOCUMENT.read_text("utf-8")
    words = set(re.findall(r"\w+", " ".join(re.findall(r"(?<!`)`[^`\n]+`(?!`)", page))))
    for facet in FACETS:
        lacking = {name for name, _ in members(facet)} - words
        assert not lacking, f"docs/api.md does not name these of {facet.__name__}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "crm/bin").mkdir(parents=True)
    (tmp_path / "crm/bin/tool").write_text("one\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_texts_and_numbers_will_do(place: Path) -> None:
    with Workspace.init("store") as ws:
        ws.apps.add("crm", "crm", state=["/log/"])
    with Workspace.open("store", actor={"user": "deploy"}, safe_stores=["store"]) as ws:
        crm = ws.app("crm")
        crm.snapshot()
        tool = Path("crm/bin/tool")
        tool.write_text("two\n")
        crm.snapshot()
        found = ws.apps.at("crm/bin")
        assert found is not None and found.key == "crm"
        assert b"".join(crm.cat(0, "bin/tool")) == b"one\n"
        assert [entry.path for entry in crm.ls(0, Path("bin"))] == ["bin", "bin/tool"]
        assert [one.path for one in crm.diff(0, 1, [Path("bin")])] == ["bin/tool"]
        assert [entry.path for entry in crm.ls(0, ".")] == [".", "bin", "bin/tool"]
        assert [span.entry.path for span in crm.history(".")] == ["."]
        assert crm.reading.versions_of(["."]) == {0, 1}
        assert len(crm.history("bin/tool")) == len(crm.blame("bin/tool")) == 2
        assert crm.reading.versions_of(["bin/tool"]) == {0, 1}
        assert crm.plan(0, ["bin/tool"]).plan.goal == api.VersionGoal(0)
        assert crm.checkout(0, [Path("bin")]).modified == 1
        assert crm.tag("first", 0) == crm.pin(0) == crm.unpin(0) == 0
        crm.accept(0, ["."])
        assert crm.export(0, "out", ["bin/tool"]).files == 1
        assert Path("out/bin/tool").read_text() == "one\n"
        assert ws.care.drill("crm", 0)[1].is_proven
        assert len(ws.care.contents_of("crm", "bin/tool")) == 2
        info = ws.blobs.put("crm/bin/tool")
        ws.blobs.get(info.digest, "again")
        assert ws.blobs.compare(info.digest, Path("again"))
        ws.care.copy("copy")
        ws.apps.move("crm", "crm")
    Workspace.rebuild("store")
    Workspace.restore("back", "copy")


WRONG: list[Callable[[Workspace, AppHandle], object]] = [
    lambda ws, crm: ws.apps.add("erp", 7),  # type: ignore[arg-type]
    lambda ws, crm: ws.apps.add("erp", ".", state="/log/"),
    lambda ws, crm: ws.apps.set("crm", add={"state": "/log/"}),
    lambda ws, crm: crm.run("touch it"),
    lambda ws, crm: crm.run([]),
    lambda ws, crm: crm.ls(None),  # type: ignore[arg-type]
    lambda ws, crm: crm.cat(0, b"bin/tool"),  # type: ignore[arg-type]
    lambda ws, crm: crm.cat(0, "/etc/passwd"),
    lambda ws, crm: crm.diff(0, True),
    lambda ws, crm: crm.diff(0, 0, "bin"),
    lambda ws, crm: crm.history("a/../b"),
    lambda ws, crm: crm.checkout(0, "bin/tool"),
    lambda ws, crm: crm.checkout(-1),
    lambda ws, crm: crm.checkout(1.0),  # type: ignore[arg-type]
    lambda ws, crm: crm.export(0, ""),
    lambda ws, crm: crm.tag("one", None),  # type: ignore[arg-type]
    lambda ws, crm: crm.hold(until="tomorrow"),
    lambda ws, crm: crm.find("\ud800"),
    lambda ws, crm: ws.apps.set("crm", add={"stat": ["/log/"]}),
    lambda ws, crm: ws.apps.add(7, "."),  # type: ignore[arg-type]
    lambda ws, crm: ws.care.forget("crm", ["0"]),  # type: ignore[list-item]
    lambda ws, crm: ws.blobs.put(7),  # type: ignore[arg-type]
    lambda ws, crm: ws.care.copy(None),  # type: ignore[arg-type]
    lambda ws, crm: ws.catalogs.check(None),  # type: ignore[arg-type]
    lambda ws, crm: ws.for_actor("deploy"),  # type: ignore[arg-type]
    lambda ws, crm: ws.for_actor({"usr": "deploy"}),  # type: ignore[typeddict-unknown-key]
    lambda ws, crm: ws.for_actor({"uid": "0"}),  # type: ignore[typeddict-item]
    lambda ws, crm: Workspace.open(ws.path, safe_stores="/"),
]


@pytest.mark.parametrize("call", WRONG)
def test_wrong_arguments_are_refused_before_anything_is_done(
    place: Path, call: Callable[[Workspace, AppHandle], object]
) -> None:
    with Workspace.init("store") as ws:
        ws.apps.add("crm", "crm")
        crm = ws.app("crm")
        crm.snapshot()
        with pytest.raises(UsageError):
            call(ws, crm)
        assert [app.key for app in ws.apps.list()] == ["crm"]
        assert len(crm.versions()) == 1 and crm.reading.state().hold is None


def test_somebody_else_has_the_same_configuration(place: Path) -> None:
    Workspace.init("store").close()
    with Workspace.open("store", config="etc") as ws:
        ws.for_actor({"user": "deploy"}).apps.add("crm", "crm")
    assert Path("etc/apps.d/crm.toml").exists()


def test_who_asks_is_recorded_as_it_was_said(place: Path) -> None:
    with Workspace.init("store") as ws:
        ws.apps.add("crm", "crm")
        own = ws.for_actor({"uid": 7, "user": None, "via": "pipeline", "command": "odd \udcff"})
        own.app("crm").snapshot()
        [info] = ws.app("crm").versions()
    assert info.record.actor == {"uid": 7, "user": None, "via": "pipeline", "command": "odd ?"}
