"""What ELF files say, and what of it a package needs and offers."""

import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.packaging import Need, Offer, Package, Part
from epmstore.clock import FixedClock
from epmstore.package import elfchild
from epmstore.package.draft import Completed, Draft
from epmstore.package.elfchild import ElfSaid
from epmstore.package.inspection import verify_package
from epmstore.progress import SILENT
from tests.kit.elves import AARCH64, PROGRAM, elf

PROGRAM_SAYS = ElfSaid(
    type="program",
    machine="x86_64",
    needed=("libcrm.so.2", "libc.so.6"),
    interpreter="/lib64/ld-linux-x86-64.so.2",
    build_id=b"\x01\x02",
)
FILES = {
    "bin/crmd": elf(
        kind=PROGRAM,
        needed=PROGRAM_SAYS.needed,
        interpreter=PROGRAM_SAYS.interpreter,
        build_id=b"\x01\x02",
    ),
    "lib/libcrm.so.2": elf(soname="libcrm.so.2", needed=["libz.so.1"]),
    "lib/plain.so": elf(needed=["libm.so.6"]),
    "lib/arm/libcrm.so.2": elf(machine=AARCH64, soname="libarm.so.2", needed=["libarm.so.6"]),
    "bin/script": b"#!/bin/sh\n",
    "bin/torn": elf(soname="liba.so")[:70],
    "share/notes.txt": elf(soname="libnot.so.1"),
}


def built(tmp_path: Path, package: Package, *, follows: bool = True) -> Completed:
    with Draft.begin(tmp_path, product="crm", package=package, clock=FixedClock()) as draft:
        draft.follows_sonames = follows
        for path, data in FILES.items():
            file = tmp_path / "file"
            file.write_bytes(data)
            draft.add_file(file, path, 0o755 if path.startswith("bin/") else 0o644)
        assert draft.elf("bin/crmd") == PROGRAM_SAYS
        assert draft.elf("bin/script") is None and draft.elf("bin/torn") is None
        return draft.complete(tmp_path)


def test_needs_and_offers_of_libraries_follow_from_what_is_in_a_package(tmp_path: Path) -> None:
    parts = (Part(name="server", patterns=("bin/",)), Part(name="lib", patterns=("*",)))
    said = (Need(soname="libc.so.6", of="server"),)
    done = built(tmp_path, Package(version="1", build=1, parts=parts, requires=said))
    found = done.packed.release.package
    assert found.requires == (
        *said,
        Need(soname="libm.so.6", of="lib"),
        Need(soname="libz.so.1", of="lib"),
    )
    assert found.provides == (Offer(soname="libcrm.so.2", of="lib"),)
    with closing(sqlite3.connect(done.path)) as db:
        libraries = db.execute("SELECT path, part, soname FROM libraries").fetchall()
        assert ("lib/libcrm.so.2", "lib", "libcrm.so.2") in libraries
        needs = db.execute("SELECT soname FROM librarydeps WHERE path = 'bin/crmd'").fetchall()
        assert [name for (name,) in needs] == ["libc.so.6", "libcrm.so.2"]
        [row] = db.execute("SELECT type, interpreter, build_id FROM elf WHERE type = 'program'")
        assert row == ("program", PROGRAM_SAYS.interpreter, b"\x01\x02")
    verify_package(done.path, tmp_path, SILENT)


@pytest.mark.parametrize(("architecture", "needs"), [("aarch64", ["libarm.so.6"]), ("s390x", [])])
def test_only_files_for_its_own_machine_count(
    tmp_path: Path, architecture: str, needs: list[str]
) -> None:
    done = built(tmp_path, Package(version="1", build=1, architecture=architecture))
    assert [one.soname for one in done.packed.release.package.requires] == needs


def test_its_vendor_may_say_that_nothing_follows(tmp_path: Path) -> None:
    done = built(tmp_path, Package(version="1", build=1), follows=False)
    assert not done.packed.release.package.requires and not done.packed.release.package.provides


@given(st.data())
def test_damaged_elf_files_are_none_and_no_error(data: st.DataObject) -> None:
    sound = bytearray(FILES["bin/crmd"])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(sound) - 1))
        sound[at] = data.draw(st.integers(0, 255))
    said = elfchild.read_elf(io.BufferedReader(io.BytesIO(bytes(sound))))
    assert said is None or isinstance(said, ElfSaid)
