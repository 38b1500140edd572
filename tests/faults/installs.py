"""Scenarios of what is installed: a release comes, another one comes in its place, all of it goes.

Each was done once, and undone, so that it is known what the root is to be. What is said to be
installed has to go with the root, whichever of the two that is.
"""

import shutil
from collections.abc import Callable, Sequence

from epmstore.catalog.packaging import Package
from epmstore.record.result import Result
from epmstore.workspace import Workspace
from epmstore.workspace.intended import Intended
from tests.faults.scenarios import KEY, Ack, Scenario, Stage, acknowledged, handle
from tests.kit.program import picture
from tests.kit.vendors import Vendor
from tests.package.makers import pack, release

FIRST = {f"bin/tool{n}": b"tool %d\n" % n * 40 for n in range(6)} | {
    "etc/crm.conf": b"port = 1\n",
    "lib/old": b"old\n" * 99,
}
SECOND = {**FIRST, "bin/tool1": b"another\n" * 40, "lib/new": b"new\n" * 99}
SECOND.pop("lib/old")

Verb = Callable[[Workspace], tuple[Intended, list[Result]]]


def _install(workspace: Workspace) -> tuple[Intended, list[Result]]:
    return workspace.packages.install([f"{KEY}=1"])


def _upgrade(workspace: Workspace) -> tuple[Intended, list[Result]]:
    return workspace.packages.upgrade([KEY])


def _uninstall(workspace: Workspace) -> tuple[Intended, list[Result]]:
    return workspace.packages.uninstall([KEY])


def _prepare(before: Sequence[Verb], verb: Verb) -> Callable[[Stage], None]:
    def prepare(stage: Stage) -> None:
        Workspace.init(stage.store).close()
        vendor = Vendor(stage.place, key=KEY)
        for number, files in enumerate((FIRST, SECOND)):
            release(vendor, files, Package(version=str(number + 1), build=1))
            pack(vendor, stage.place / f"{number}.epkg", number)
        (stage.root / "added").write_bytes(b"added here")
        with stage.open() as workspace:
            workspace.apps.add(KEY, stage.root, state=["data/"])
            for number in range(2):
                workspace.catalogs.import_(stage.place / f"{number}.epkg")
            for one in before:
                one(workspace)
        shutil.rmtree(vendor.path)
        if before:  # what an operator did meanwhile
            (stage.root / "bin/tool2").write_bytes(b"by hand")
            (stage.root / "etc/crm.conf").write_bytes(b"port = 2\n")
        stage.record()
        with stage.open() as workspace:
            crm = handle(workspace)
            now = crm.installing.installed
            _note(stage, verb(workspace)[1][0].version)
            done, then = picture(stage.root), crm.installing.installed
            _note(stage, crm.undo().version)
        stage.roots, stage.sets = [picture(stage.root), done], [now, then]

    return prepare


def _note(stage: Stage, version: int | None) -> None:
    assert version is not None, "it changed something"
    stage.versions[version] = picture(stage.root)


def _act(verb: Verb) -> Callable[[Stage], Ack]:
    def act(stage: Stage) -> Ack:
        with stage.open() as workspace:
            return acknowledged(verb(workspace)[1][0])

    return act


INSTALLS: dict[str, Scenario] = {
    "install": Scenario(_prepare([], _install), _act(_install), "new"),
    "upgrade": Scenario(_prepare([_install], _upgrade), _act(_upgrade), "new"),
    "uninstall": Scenario(_prepare([_install], _uninstall), _act(_uninstall), "new"),
}
