"""From a spec, or from Python, to a candidate."""

import io
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.packaging import Need, Package, Part
from epmstore.clock import FixedClock
from epmstore.errors import BadPackageError, ConflictError, NotFoundError, UsageError
from epmstore.package import from_release
from epmstore.package.draft import Completed, Draft
from epmstore.package.from_spec import build
from epmstore.package.inspection import look, unpack, verify_package
from epmstore.package.parts import patterns_of
from epmstore.package.spec import package_of, read_spec
from epmstore.package.tables import PartsOf
from epmstore.progress import SILENT
from epmstore.relpath import RelPath
from epmstore.tree import Entry

SPEC = """
[package]
product = "crm"
version = "4.1.0"
summary = "Customer records"
licenses = ["MIT"]
tags = ["database"]
[[files]]
from = "build"
part = "server"
owner = "crm"
[[files]]
from = "docs.tar"
to = "share/doc"
below = "crm-4.1"
part = "doc"
[[files]]
file = "crm.service"
to = "systemd/"
[classes]
config = ["etc/"]
state = ["data/"]
[requires]
products = ["libpay>=3,<=4.1", "tax:client>=release:40?"]
sonames = ["libc.so.6"]
[provides]
capabilities = ["crm-api=2.1"]
[scripts]
post-install = { file = "scripts/migrate.sh", fatal = false, idempotent = true }
[[units]]
path = "systemd/crm.service"
enable = true
[[parameters]]
name = "port"
type = "integer"
default = 8080
[[parameter-files]]
path = "etc/crm.env"
format = "env"
"""


def place(tmp_path: Path) -> Path:
    """What a spec speaks of."""
    for name, data in {
        "build/bin/crmd": b"program",
        "build/etc/crm.conf": b"port = 1",
        "build/data/db": b"rows",
        "scripts/migrate.sh": b"exit 0",
        "crm.service": b"[Service]",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with tarfile.open(tmp_path / "docs.tar", "w") as tar:
        member = tarfile.TarInfo("crm-4.1/manual.txt")
        member.size = 6
        tar.addfile(member, io.BytesIO(b"manual"))
    return tmp_path


def built(tmp_path: Path, text: str = SPEC) -> Completed:
    spec = read_spec(text.encode(), "crm.toml")
    return build(spec, place(tmp_path), tmp_path, FixedClock(), SILENT)


def test_a_candidate_is_what_its_spec_says(tmp_path: Path) -> None:
    done = built(tmp_path)
    assert done.path == tmp_path / "crm-4.1.0-1.candidate.epkg"
    found = verify_package(done.path, tmp_path, SILENT)
    assert found.is_candidate and found.title == "4.1.0-1"
    release = found.release
    entries = {entry.path: entry for entry in release.entries}
    files = {path for path, entry in entries.items() if entry.kind == "file"}
    assert files == {
        "bin/crmd", "etc/crm.conf", "share/doc/manual.txt", "systemd/crm.service",
        ".package/post-install.sh",
    }  # fmt: skip
    assert entries[RelPath("etc/crm.conf")].path_class == "config"
    assert entries[RelPath("data")].path_class == "state"
    assert entries[RelPath("bin/crmd")].user == "crm"
    parts = PartsOf(release.package)
    assert [parts.of(RelPath(path)) for path in sorted(files)] == [
        None, "server", "server", "doc", None,
    ]  # fmt: skip
    assert release.package.requires == (
        Need(product="libpay", min="3", max="4.1"),
        Need(product="tax", part="client", first=40, optional=True),
        Need(soname="libc.so.6"),
    )
    assert release.package.scripts["post-install"].path == ".package/post-install.sh"


def test_people_read_it_with_sql(tmp_path: Path) -> None:
    with closing(sqlite3.connect(built(tmp_path).path)) as db:
        ask = "SELECT path, size FROM paths JOIN packagefiles USING (path) WHERE part = 'doc'"
        assert db.execute(ask).fetchall() == [("share/doc/manual.txt", 6)]
        assert db.execute("SELECT version, build, release FROM packages").fetchall() == [
            ("4.1.0", 1, None)
        ]
        assert db.execute("SELECT tag FROM tags").fetchall() == [("database",)]
        assert db.execute('SELECT name, "default" FROM parameters').fetchall() == [("port", "8080")]


def test_tables_that_say_something_else_are_found(tmp_path: Path) -> None:
    path = built(tmp_path).path
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE packagefiles SET part = 'client' WHERE path = 'bin/crmd'")
    assert look(path, tmp_path, SILENT).release.about.key == "crm"
    with pytest.raises(BadPackageError, match="table packagefiles does not say"):
        verify_package(path, tmp_path, SILENT)


def test_its_files_are_written_into_a_new_folder(tmp_path: Path) -> None:
    path, out = built(tmp_path).path, tmp_path / "out"
    done = unpack(path, out, tmp_path, FixedClock(), SILENT, "server")
    assert done.files == 2
    assert (out / "bin/crmd").read_bytes() == b"program"
    with pytest.raises(ConflictError):
        unpack(path, out, tmp_path, FixedClock(), SILENT, None)
    assert not list(tmp_path.glob(".epm-*")) + list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("summary", "sumary", "unknown field `sumary`"),
        ('type = "integer"', 'type = "int"', "'int' is none of"),
        ("libpay>=3", "libpay=>3", "is no bound"),
        ('version = "4.1.0"', 'version = "4 1"', "package.version"),
        ('from = "build"', 'from = "build"\nfile = "crm.service"', "say one"),
        ('path = "systemd/crm.service"', 'path = "systemd/crmd.service"', "is no file of"),
        ("default = 8080", 'default = "x"', "is no value of a parameter"),
        ("[package]", "[package", "crm.toml"),
        ("post-install", "post-instal", "'post-instal' is none of"),
    ],
)
def test_faults_of_a_spec_are_said(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in SPEC
    with pytest.raises(UsageError) as caught:
        built(tmp_path, SPEC.replace(old, new, 1))
    assert why in caught.value.message
    assert not list(tmp_path.glob("*.epkg")) + list(tmp_path.glob(".epm-*"))


def test_nothing_is_built_that_no_host_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(from_release, "FREE", 0)
    place(tmp_path)
    (tmp_path / "build" / "zeros").write_bytes(bytes(1 << 20))
    with pytest.raises(UsageError, match="no host takes that"):
        built(tmp_path)
    assert not list(tmp_path.glob("*.epkg")) + list(tmp_path.glob(".epm-*"))


def test_missing_sources_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"bild is not there"):
        built(tmp_path, SPEC.replace('"build"', '"bild"'))


def test_every_word_of_a_packaging_can_be_said_in_a_spec() -> None:
    spec = read_spec(b'[package]\nproduct = "crm"\nversion = "1"\n', "crm.toml")
    said = package_of(spec, {}, "2026-11-30T12:00:00Z")
    unsaid = {"tied", "members"}
    here = set(spec.__struct_fields__) | set(spec.package.__struct_fields__) | {"build_time"}
    assert set(said.__struct_fields__) - here == unsaid


def test_the_primitives_of_the_founding_document(tmp_path: Path) -> None:
    package = Package(version="1", build=1, parts=(Part(name="client", patterns=("/bin/ctl",)),))
    (tmp_path / "crm.conf").write_bytes(b"port = 8080\n")
    with Draft.begin(tmp_path, product="crm", package=package) as draft:
        info = draft.add_blob(b"port = 8080\n")
        draft.add_path(Entry(path=RelPath("etc/c"), kind="file", mode=0o644, content=info))
        draft.associate("etc/c", "server")
        draft.add_path(Entry(path=RelPath("bin/ctl"), kind="file", mode=0o755, content=info))
        draft.add_path(Entry(path=RelPath("cur"), kind="symlink", mode=0o777, target="bin"))
        assert b"".join(draft.extract("etc/c")) == b"port = 8080\n"
        assert draft.compare("etc/c", tmp_path / "crm.conf") == "same"
        assert draft.compare("etc/c", tmp_path / "none") == "missing"
        assert draft.compare("cur", tmp_path / "crm.conf") == "type-changed"
        (tmp_path / "crm.conf").write_bytes(b"edited")
        assert draft.compare("etc/c", tmp_path / "crm.conf") == "modified"
        with pytest.raises(ConflictError, match="two parts"):
            draft.associate("etc/c", "client")
        done = draft.complete(tmp_path)
    assert verify_package(done.path, tmp_path, SILENT).contents == 1
    parts = PartsOf(done.packed.release.package)
    assert [parts.of(RelPath(path)) for path in ("bin/ctl", "etc/c", "cur")] == [
        "client", "server", None,
    ]  # fmt: skip


names = st.text(alphabet="ab*[? ", min_size=1, max_size=3).filter(lambda name: name.strip(" "))
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join).map(RelPath),
    st.sampled_from(("client", "server", None)),
    max_size=12,
)


@given(trees, st.booleans())
def test_patterns_give_each_file_its_part(files: dict[RelPath, str | None], all_: bool) -> None:
    folders = {path[:at] for path in files for at in range(len(path)) if path[at] == "/"}
    files = {path: part for path, part in files.items() if path not in folders}
    found = patterns_of(files, may_end_with_all=all_)
    parts = tuple(Part(name=name, patterns=tuple(said)) for name, said in found.items())
    asked = PartsOf(Package(version="1", build=1, parts=parts))
    assert {path: asked.of(path) for path in files} == files
