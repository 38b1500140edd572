"""Products as a vendor packs them, and hosts that install them by the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epmstore.catalog.classes import Patterns
from epmstore.catalog.model import AboutRecord
from epmstore.catalog.packaging import Package
from epmstore.clock import to_rfc3339
from epmstore.package.from_release import write_package
from epmstore.package.ranges import parse_need
from epmstore.progress import SILENT
from epmstore.refcat.append import say
from tests.kit.vendors import CRM, Vendor
from tests.package.makers import release

LIB = "7f1d1b0e-0c39-4d52-9a51-1b6f6f2f9a0b"
V1: Mapping[str, bytes] = {
    "bin/crmd": b"#!/bin/sh\necho crm 1\n",
    "bin/same": b"the same in all releases, and no tiny file: 0123456789 0123456789 0123456789\n",
    "etc/crm.conf": b"port = 8080\n",
    "lib/libcrm.so": b"library 1\n" * 500,
    "share/gone": b"only release 1 has this, which is long enough to be known again, surely\n",
}
V2: Mapping[str, bytes] = {
    **{path: data for path, data in V1.items() if path != "share/gone"},
    "bin/crmd": b"#!/bin/sh\necho crm 2\n",
    "etc/crm.conf": b"port = 8081\n",
    "lib/libcrm.so": b"library 2\n" * 500,
    "bin/new": b"new\n",
}


class Products:
    """A vendor with one product, in a store of its own; `pack` publishes a release of it."""

    def __init__(
        self, place: Path, *, key: str = "crm", app: str = CRM, patterns: Patterns | None = None
    ) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.place, self.key, self.app = place, key, app
        self.vendor = Vendor(place, app=app, key=key)
        self.count = 0
        found = patterns or Patterns(config=("etc/",), state=("data/",))
        time = to_rfc3339(self.vendor.clock.now())
        self.vendor.about = AboutRecord(time=time, app=app, key=key, patterns=found)
        with self.vendor.open() as ws:
            say(ws._store, app, self.vendor.about)

    def pack(
        self,
        files: Mapping[str, bytes],
        version: str,
        *,
        needs: tuple[str, ...] = (),
        build: int = 1,
        **more: Any,
    ) -> Path:
        """The file of the package of a new release."""
        package = Package(
            version=version, build=build, requires=tuple(map(parse_need, needs)), **more
        )
        release(self.vendor, files, package)
        path = self.place / f"{self.key}-{version}-{build}.epkg"
        with self.vendor.open() as ws:
            write_package(ws._store, self.app, self.count, path, SILENT)
        self.count += 1
        return path


def files_in(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
