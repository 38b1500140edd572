"""Catalogs made at random of names, links and targets that lead elsewhere: as a vendor's that is
imported and as a history that is planted, and then through export, checkout and repair. Most are
refused; whatever is not stays in its root.

EPM_TEST_CATALOGS sets how many, EPM_TEST_SEED which.
"""

import contextlib
import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from epmstore.catalog.format import decode_line
from epmstore.catalog.model import VersionPart
from epmstore.errors import DamagedError, EpmError
from epmstore.tree import tree_sum
from epmstore.workspace import Workspace
from epmstore.workspace.app.asked import RepairOptions
from tests.faults.test_hostile_names import INFO, Planted
from tests.kit.program import SEED, amount, picture
from tests.kit.vendors import CRM

EXAMPLES = amount("EPM_TEST_CATALOGS", 40)
WORDS = ("a", "d", "l", "own", "x", "e", "a", "d", "..", ".", "", "%2e%2e", "CON", "é", "a\n", "-")
"""Most of them harmless, or hardly a catalog would come through."""
TIME = "2026-01-01T00:00:00Z"
VERBS = ("export", "checkout", "checkout --exact")


def name(rng: random.Random) -> str:
    words = [rng.choice(WORDS) for _ in range(rng.randint(1, 3))]
    return rng.choice(("", "", "", "", "/", "//", "//%2f")) + "/".join(words)


def sections(rng: random.Random, elsewhere: Path) -> dict[str, Any]:
    """Of one line: files, names of files, links and folders."""
    targets = (str(elsewhere), f"{elsewhere}/mine", "../elsewhere", "/", ".", "..", "a", "d/..")
    paths: dict[str, Any] = {}
    said: dict[str, Any] = {"components": {INFO.digest.hex(): paths}, "links": {}}
    said |= {"directories": {}}
    said["blobs"] = {INFO.digest.hex(): {"size": INFO.size, "sha256": INFO.sha256.hex()}}
    for _ in range(rng.randint(1, 5)):
        kind = rng.randrange(5)
        if kind < 2:
            paths[name(rng)] = {"same_as": name(rng)} if rng.random() < 0.2 else {}
        elif kind < 4:
            said["links"][name(rng)] = {"target": rng.choice(targets)}
        else:
            said["directories"][name(rng)] = {}
    if rng.random() < 0.5:  # something below a link
        top = rng.choice([*said["links"], "l"])
        said["links"].setdefault(top, {"target": str(elsewhere)})
        paths[f"{top}/{rng.choice(('x', 'mine'))}"] = {}
    if not paths:
        del said["components"], said["blobs"]
    return said


def refcat(said: dict[str, Any]) -> bytes:
    """A catalog of one release, whose sum and chain are right as far as it can be read."""
    about = {"seq": 0, "prev": "0" * 64, "type": "about", "format": 1, "time": TIME}
    first = json.dumps({**about, "app": CRM, "key": "crm"}).encode() + b"\n"
    head = {
        "seq": 1, "prev": hashlib.sha256(first).hexdigest(), "type": "version", "format": 1,
        "time": TIME, "version": 0, "app": CRM, "key": "crm", "txid": "1" * 32, "kind": "change",
        "reason": "release", "tree": "0" * 64, "label": "1.0", "defaults": {"mtime_ns": 1},
    }  # fmt: skip
    line = {**head, **said}
    try:
        part = decode_line(json.dumps(line).encode() + b"\n")[1]
    except DamagedError:
        return first + json.dumps(line).encode() + b"\n"
    assert isinstance(part, VersionPart)
    line["tree"] = f"{tree_sum(part.entries):064x}"
    line["counts"] = {"added": len(part.entries), "modified": 0, "removed": 0}
    return first + json.dumps(line).encode() + b"\n"


class Host(Planted):
    """Takes catalogs from everywhere."""

    def imports(self, data: bytes) -> bool:
        """Whether a vendor's catalog is accepted."""
        path = self.place / "crm.refcat"
        path.write_bytes(data)
        try:
            with Workspace.open(self.place / "store") as workspace:
                workspace.catalogs.import_(path, app="crm", allow_unsigned=True)
        except EpmError:
            return False
        return True

    def plants(self, said: dict[str, Any]) -> bool:
        """Whether a history can be read as such."""
        try:
            self.plant(said)
        except DamagedError:
            return False
        return True

    def goes_to(self, version: str) -> list[str]:
        """What of it got out."""
        before, wrong = self._beside(), []
        for verb in VERBS:
            wrong += self._after(verb, version)
        if version.startswith("release:"):
            wrong += self._after("repair", version)
        return wrong + ["something elsewhere changed"] * (self._beside() != before)

    def _after(self, verb: str, version: str) -> list[str]:
        store = self.place / "store"
        with contextlib.suppress(EpmError, OSError), Workspace.open(store) as workspace:
            handle = workspace.app("crm")
            if verb == "export":
                handle.export(version, self.place / "out/it")
            elif verb == "repair":
                handle.repair(RepairOptions(release=0, exact=True))
            else:
                handle.checkout(version, exact=verb.endswith("exact"))
        left = [*(self.place / "store/journals").iterdir()]
        return [f"{verb} left {left}"] if left else []

    def _beside(self) -> object:
        return picture(self.elsewhere), sorted(path.name for path in self.place.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(120 + EXAMPLES)
@pytest.mark.parametrize("way", ["import", "history"])
def test_catalogs_made_at_random_stay_inside(tmp_path: Path, way: str) -> None:
    rng, wrong, accepted = random.Random(f"{SEED}/{way}"), {}, 0
    for number in range(EXAMPLES):
        place = tmp_path / str(number)
        place.mkdir()
        host = Host(place)
        (place / "out").mkdir()  # so that what an export makes does not count as elsewhere
        said = sections(rng, host.elsewhere)
        is_in = host.imports(refcat(said)) if way == "import" else host.plants(said)
        accepted += is_in
        if is_in and (found := host.goes_to("release:0" if way == "import" else "0")):
            wrong[number] = (said, found)
    sys.stdout.write(f"{way}: {accepted} of {EXAMPLES} were accepted\n")
    assert wrong == {}
    assert 0 < accepted < EXAMPLES, "or nothing was tried"
