"""Packages to work with, from a vendor's store."""

from collections.abc import Mapping
from pathlib import Path

from epmstore.catalog.packaging import Package
from epmstore.digest import identify
from epmstore.package.from_release import Packed, write_package
from epmstore.progress import SILENT
from epmstore.refcat.append import ReleaseDraft, publish
from epmstore.store.deposit import Deposit
from tests.kit.vendors import CRM, Importer, Vendor, file

FILES: Mapping[str, bytes] = {
    "bin/crmd": b"\x7fELF program\n" * 300,
    "bin/crmctl": b"#!/bin/sh\necho crm\n",
    "etc/crm.conf": b"port = 8080\n",
    "lib/libcrm.so": bytes(range(256)) * 40,
    "share/empty": b"",
}


def release(vendor: Vendor, files: Mapping[str, bytes], package: Package) -> None:
    """Publish a release that is a package."""
    vendor.clock.advance(60)
    with vendor.open() as ws, Deposit(ws._store) as deposit:
        for data in files.values():
            deposit.add(identify(data), data)
        tree = [file(path, data) for path, data in sorted(files.items())]
        label = f"{package.version}-{package.build}"
        assert publish(deposit, vendor.about, tree, ReleaseDraft(label=label, package=package))


def pack(vendor: Vendor, path: Path, number: int = 0) -> Packed:
    with vendor.open() as ws:
        return write_package(ws._store, CRM, number, path, SILENT)


def packed(place: Path, files: Mapping[str, bytes] = FILES) -> Path:
    """The package of a first release."""
    vendor = Vendor(place)
    release(vendor, files, Package(version="4.1.0", build=1))
    path = place / "crm-4.1.0-1.epkg"
    pack(vendor, path)
    return path


def everything(host: Importer) -> set[tuple[str, int]]:
    """Files of a store and their sizes, but for what is a cache."""
    return {
        (str(path.relative_to(host.path)), path.stat().st_size)
        for path in host.path.rglob("*")
        if path.is_file()
        and not path.name.startswith(("index.sqlite", "clock.json"))
        and path.parent.name != "locks"
    }
