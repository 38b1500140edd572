"""States of the machine that tests begin with. Made once, and kept beside the image."""

import contextlib
import hashlib
import json
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.machine import crm, image, packages
from tests.machine.drive import Platter
from tests.machine.vm import Vm


class State(NamedTuple):
    """A machine that is off, with epmstore installed as daemon/README.md says, and with crm."""

    image: image.Image
    platter: Platter
    sums: dict[str, str]
    """Of the releases of crm."""


def installed(kind: str) -> State:
    """The newest package, and crm with two versions, of which the second one is live; everything
    enabled.
    """
    base, load = image.image(kind), packages.payload()
    said = repr((base.disk.name, load.parent.name, crm.__dict__["UNIT"], crm.PROGRAM, crm.RELEASE))
    kept = image.cache() / f"installed-{hashlib.sha256(said.encode()).hexdigest()[:12]}"
    if not kept.exists():
        with running(base) as vm:
            vm.start()
            sums = install(vm)
            vm.off()
            made = kept.with_suffix(".part")
            made.write_bytes(pickle.dumps((vm.drive.platter, json.dumps(sums))))
            made.rename(kept)
    platter, text = pickle.loads(kept.read_bytes())
    return State(base, platter, json.loads(text))


def install(vm: Vm) -> dict[str, str]:
    """What daemon/README.md says, in its words."""
    vm.sh("mount -o ro /dev/vdb /mnt; mkdir -p /root/dist")
    vm.sh("cp /mnt/newer.deb /root/dist/epmstore_0_amd64.deb")
    vm.sh("cd /root; apt install -y ./dist/epmstore_*_amd64.deb")
    sums = crm.install(vm)
    vm.run("systemctl", "enable", "--now", "epmstored.service")
    return sums


@contextlib.contextmanager
def running(base: image.Image, platter: Platter | None = None) -> Iterator[Vm]:
    """A machine, off; whatever becomes of it, there is no process left."""
    with tempfile.TemporaryDirectory(prefix="epm-vm-", dir="/tmp") as folder:
        vm = Vm(base, Path(folder), payload=packages.payload(), platter=platter)
        try:
            yield vm
        finally:
            vm.close()
