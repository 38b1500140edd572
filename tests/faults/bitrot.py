"""Damage of every kind to every file of a store: `python -m tests.faults.bitrot --help`.

A store of three versions in a pack and in the log, with solid, stored and delta frames. *Read*:
each bit of each byte, each cut, each block zeroed or swapped with another, and each time the file
is looked at by what reads it, and every content is read: damage is found, and what is given out is
right. *Whole*: a bit of each byte, and deleted files, and the caches, and each time the store is
opened, checked, every version written out, repaired, and checked again. *Copy*: the same damages,
mended with what a copy of the store has of the files that are named. One JSON line a damage; with
`--out` those that are in the file are not tried again.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from epmstore.blobs.records import open_pack, walk
from epmstore.catalog import appcat
from epmstore.catalog.history import CatalogFile
from epmstore.catalog.model import CatalogPosition
from epmstore.digest import BlobInfo
from epmstore.errors import EpmError
from epmstore.store import commit, identity, reserve
from epmstore.workspace import Workspace
from tests.faults.lines import Lines
from tests.kit.program import Picture, differences, picture

KEY = "crm"
BLOCK = 4096
SMALL = 512
"""Of small files parts of this size are zeroed, swapped and cut off."""
APPCAT = "appcat.json"
CACHES = ("index.sqlite", "live")


_ID = re.compile("[0-9a-f]{2}/[0-9a-f]{32,}|[0-9a-f]{32,}")
"""Of packs and applications; another one in each store that is made."""


class Damage(NamedTuple):
    """`file` is below the store, without ids; `at` a byte of it; `more` the bit that is flipped, or
    the block to swap with.
    """

    level: str
    file: str
    kind: str
    at: int
    more: int = 0


class Patient:
    """The store, as it was, and what it must give out."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place, self.store, self.root = place, place / "store", place / "root"
        self._rng = random.Random(seed)
        self.root.mkdir(parents=True)
        self.pictures: list[Picture] = []
        self.contents: dict[BlobInfo, bytes] = {}
        with Workspace.init(self.store) as workspace:
            workspace.apps.add(KEY, self.root)
        self._make_versions()
        self._paths = {
            _ID.sub("ID", str(path.relative_to(self.store))): path
            for path in sorted(self.store.rglob("*"))
            if path.is_file() and not path.name.endswith(("-shm", "-wal"))
        }
        self.files = {name: path.read_bytes() for name, path in self._paths.items()}
        shutil.copytree(self.store, place / "as it was")
        with Workspace.open(self.store) as workspace:
            workspace.care.copy(place / "copy")
        self._identity = identity.read(self.store)
        self.names = [name for name in self.files if is_truth(name) or name.startswith(CACHES)]
        self._clean = {name: self._walked(name) for name in self.names if name[:5] == "packs"}
        with Workspace.open(self.store) as workspace:
            handle = workspace.app(KEY)
            position = handle._context.store.entries.position(handle.app.uuid)
            assert position is not None
            self._position = CatalogPosition(*position)

    def _make_versions(self) -> None:
        rng, limit = self._rng, commit.LOG_LIMIT
        self._write("text", b"".join(b"line %d %d\n" % (n, n * n) for n in range(120)))
        self._write("noise", rng.randbytes(700))
        for number in range(6):
            self._write(f"d/f{number}", rng.randbytes(60).hex().encode() * (1 + number % 3))
        commit.LOG_LIMIT = 0
        self._record()
        commit.LOG_LIMIT = limit
        self._write("text", (self.root / "text").read_bytes() + b"a line more\n")
        self._write("d/f1", b"changed" + rng.randbytes(40).hex().encode())
        self._record()
        (self.root / "d/f2").unlink()
        self._write("noise", rng.randbytes(800))
        self._record()

    def _write(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    def _record(self) -> None:
        with Workspace.open(self.store) as workspace:
            handle = workspace.app(KEY)
            assert handle.snapshot("made").version == len(self.pictures)
            for entry in handle.ls("latest"):
                if entry.content is not None:
                    self.contents[entry.content] = (self.root / entry.path).read_bytes()
        self.pictures.append(picture(self.root))

    def damages(self, level: str, every: int) -> Iterator[Damage]:
        """Every `every`-th of all that there are, in any order."""
        found = [
            damage
            for name in self.names
            if level == "whole" or is_truth(name)  # caches are made anew
            for damage in self._damages_of(level, name)
        ]
        self._rng.shuffle(found)
        yield from found[::every]

    def _damages_of(self, level: str, name: str) -> Iterator[Damage]:
        size = len(self.files[name])
        for at in range(0, size, 1 if size < 1 << 15 else 64):
            for bit in range(8) if level == "read" else (self._rng.randrange(8),):
                yield Damage(level, name, "flip", at, bit)
        blocks = range(0, size, self._block(name))
        for at in sorted({*blocks, size - 1, size // 2}):
            yield Damage(level, name, "cut", at)
        for at in blocks:
            yield Damage(level, name, "zero", at)
            yield from (Damage(level, name, "swap", at, two) for two in blocks if at < two)
        if level != "read":
            yield Damage(level, name, "delete", 0)

    def _block(self, name: str) -> int:
        return BLOCK if len(self.files[name]) > 4 * BLOCK else SMALL

    def hurt(self, damage: Damage) -> bool:
        """Do it; false if it changed nothing."""
        path, good = self._paths[damage.file], self.files[damage.file]
        if damage.kind == "delete":
            path.unlink()
            return True
        bad = damaged(good, damage, self._block(damage.file))
        with path.open("r+b") as file:
            file.write(bad)
            file.truncate()
        return bad != good

    def heal(self, damage: Damage) -> None:
        if damage.level == "read":
            with self._paths[damage.file].open("r+b") as file:
                file.write(self.files[damage.file])
            return
        subprocess.run(["rm", "-rf", self.store], check=True)
        shutil.copytree(self.place / "as it was", self.store)

    def read(self, workspace: Workspace, damage: Damage) -> list[str]:
        """What is wrong, as those see it who read that file."""
        problems = [] if self._is_found(damage.file) else ["not found by who reads it"]
        blobs = workspace._store.blobs
        for info, data in self.contents.items():
            try:
                if blobs.read(info) != data:
                    problems.append("wrong bytes")
            except EpmError:
                continue
        return problems

    def _is_found(self, name: str) -> bool:
        """Or it is harmless: what is read is right."""
        try:
            if name.startswith("packs"):
                return self._walked(name) != self._clean[name]
            if name == identity.FILE:
                return identity.read(self.store) == self._identity  # but for blanks
            elif name.endswith(APPCAT):
                appcat.load(self._paths[name])
            else:
                CatalogFile(self._paths[name]).check(self._position)
        except EpmError:
            return True
        return False

    def _walked(self, name: str) -> list[object]:
        fd = open_pack(self._paths[name])
        try:
            return [*walk(fd)]
        finally:
            os.close(fd)

    def whole(self, damage: Damage) -> list[str]:
        """What is wrong with what everybody sees who opens the store. To be refused is right."""
        try:
            with Workspace.open(self.store) as workspace:
                return [*self._judged(workspace, damage)]
        except EpmError as error:
            return [] if error.hint else [f"no advice: {error!r}"]

    def _judged(self, workspace: Workspace, damage: Damage) -> Iterator[str]:
        report = workspace.care.fsck(1.0, seed=1)
        if is_truth(damage.file) and report.clean:
            yield "not found by fsck"
        hit = {version for found in report.findings for _, version in found.versions}
        if any(found.sha256 is None for found in report.findings):
            hit.update(range(len(self.pictures)))  # nothing is lost, and a repair finds it
        for version in range(len(self.pictures)):
            why = self._exported(workspace, version)
            is_said = version in hit if damage.file.startswith("packs") else not report.clean
            if why and not (why == "refused" and is_said):
                yield f"version {version} is {why}, fsck names {sorted(hit)}"
        if damage.file.startswith(("packs", *CACHES)):
            yield from self._repaired(workspace)

    def _repaired(self, workspace: Workspace) -> Iterator[str]:
        """What lives in the root is whole again, and of the rest it is known what is lost."""
        workspace.care.fsck(1.0, repair=True, seed=1)
        left = workspace.care.fsck(1.0, seed=1).findings
        hit = {version for found in left for _, version in found.versions}
        for version in range(len(self.pictures)):
            why = self._exported(workspace, version)
            may_be_lost = version in hit and version + 1 < len(self.pictures)
            if why and not (why == "refused" and may_be_lost):
                yield f"repaired, version {version} is {why}, and {sorted(hit)} are said to be hit"

    def _exported(self, workspace: Workspace, version: int) -> str:
        target = self.place / "out"
        try:
            workspace.app(KEY).export(str(version), target)
        except EpmError:
            return "refused, and there" if target.exists() else "refused"
        wrong = differences(picture(target), self.pictures[version])
        shutil.rmtree(target)
        return "wrong" if wrong else ""

    def copied(self, damage: Damage) -> list[str]:
        """What is wrong when all that is said to be damaged was taken from a copy of the store."""
        named = self._named()
        if damage.file.startswith(CACHES) or not named:
            return [] if not is_truth(damage.file) else ["nothing was named"]
        for name in named:
            source = self.place / "copy" / name
            if source.is_file():
                shutil.copyfile(source, self.store / name)
        Workspace.rebuild(self.store)
        with Workspace.open(self.store) as workspace:
            report = workspace.care.fsck(1.0, seed=1)
            seen = {n: self._exported(workspace, n) for n in range(len(self.pictures))}
        problems = [] if report.clean else [f"{named} from a copy: {report.findings}"]
        return problems + [f"version {n} is {why}" for n, why in seen.items() if why]

    def _named(self) -> set[str]:
        """Files that fsck names; of a store that cannot be opened, the one that the error names."""
        try:
            with Workspace.open(self.store) as workspace:
                return {found.file for found in workspace.care.fsck(1.0, seed=1).findings}
        except EpmError as error:
            said = f"{error.message} {error.hint}"
            return {name for name in self._below() if Path(name).name in said}

    def _below(self) -> list[str]:
        return [str(path.relative_to(self.store)) for path in self._paths.values()]


def is_truth(name: str) -> bool:
    return name.startswith(("packs/", "catalogs/")) or name == identity.FILE


def damaged(good: bytes, damage: Damage, block: int) -> bytes:
    at, more = damage.at, damage.more
    if damage.kind == "flip":
        return good[:at] + bytes([good[at] ^ 1 << more]) + good[at + 1 :]
    if damage.kind == "cut":
        return good[:at]
    if damage.kind == "zero":
        end = min(at + block, len(good))
        return good[:at] + bytes(end - at) + good[end:]
    one, two = good[at : at + block], good[more : more + block]
    return good[:at] + two + good[at + block : more] + one + good[more + block :]


def attempt(patient: Patient, workspace: Workspace | None, damage: Damage) -> dict[str, object]:
    """What came of one damage, as the line to print; with a workspace of those who read."""
    try:
        if not patient.hurt(damage):
            return {**damage._asdict(), "verdict": "nothing changed"}
        if workspace is not None:
            problems = patient.read(workspace, damage)
        else:
            look = patient.copied if damage.level == "copy" else patient.whole
            problems = look(damage)
    except Exception as error:
        problems = [repr(error)]
    finally:
        patient.heal(damage)
    return {**damage._asdict(), "verdict": problems or "ok"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--level", default="read", choices=["read", "whole", "copy"])
    parser.add_argument("--every", type=int, default=1, help="one of so many damages")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a file of lines, where it goes on")
    parser.add_argument("--place", type=Path, default=Path("/dev/shm"))
    options = parser.parse_args()
    reserve.SIZE = 1 << 16
    lines, counts = Lines(options.out, level=options.level), Counter[str]()
    right = [line for line in lines.known if line["verdict"] in ("ok", "nothing changed")]
    known = {Damage(*(line[name] for name in Damage._fields)) for line in right}
    place = options.place / f"epm-bitrot-{os.getpid()}"
    try:
        patient = Patient(place, options.seed)
        workspace = Workspace.open(patient.store) if options.level == "read" else None
        for damage in patient.damages(options.level, options.every):
            if damage not in known:
                line = attempt(patient, workspace, damage)
                lines.add(**line)
                counts["ok" if line["verdict"] == "ok" else str(line["verdict"])] += 1
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sys.stderr.write(json.dumps({"seed": options.seed, **counts}) + "\n")
    return 1 if {*counts} - {"ok", "nothing changed"} else 0


if __name__ == "__main__":
    sys.exit(main())
