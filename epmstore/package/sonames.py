"""Which libraries a package needs and offers, as its ELF files say. Pure.

- Offered is the soname of each library; needed is what programs and libraries of it name, but for
  what is in the package itself, by its soname or by the name of its file.
- Files for other machines than the package's do not count: its architecture says which, or what
  most of its files are for.
- What its vendor wrote stays as it is, and is not said twice.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from epmstore.catalog.packaging import Need, Offer, Package
from epmstore.package.elf import ElfFiles
from epmstore.package.elfchild import ElfSaid
from epmstore.package.tables import PartsOf
from epmstore.tree import Entry

_MACHINES: Final = {
    "i386": "386", "i586": "386", "i686": "386", "armv6l": "arm", "armv7l": "arm",
    "riscv64": "riscv", "ppc64le": "ppc64", "s390x": "s390",
}  # fmt: skip
"""What ELF calls the machines that `uname -m` calls otherwise."""


def with_sonames(package: Package, entries: Sequence[Entry], known: ElfFiles) -> Package:
    """The packaging, with what follows from its ELF files."""
    parts = PartsOf(package)
    found = [(one, said) for one in entries if (said := _said(one, known)) is not None]
    machine = _machine(package, [said for _, said in found])
    counted = [(one, said) for one, said in found if said.machine == machine]
    libraries = [(one, said) for one, said in counted if said.type == "library"]
    offers = {(said.soname, parts.of(one.path)) for one, said in libraries if said.soname}
    own = _own(libraries)
    needs = {
        (soname, parts.of(one.path))
        for one, said in counted
        for soname in said.needed
        if soname not in own
    }
    offers -= {(one.soname, one.of) for one in package.provides if one.soname}
    needs -= {(one.soname, one.of) for one in package.requires if one.soname}
    return replace(
        package,
        provides=(*package.provides, *(Offer(soname=name, of=of) for name, of in _sorted(offers))),
        requires=(*package.requires, *(Need(soname=name, of=of) for name, of in _sorted(needs))),
    )


def _own(libraries: Sequence[tuple[Entry, ElfSaid]]) -> set[str]:
    """What names libraries of the package: sonames, and names of files."""
    sonames = {said.soname for _, said in libraries if said.soname is not None}
    return sonames | {one.path.rpartition("/")[2] for one, _ in libraries}


def _said(entry: Entry, known: ElfFiles) -> ElfSaid | None:
    return None if entry.content is None else known.get(entry.content.sha256)


def _machine(package: Package, found: Sequence[ElfSaid]) -> str | None:
    if package.architecture is not None:
        return _MACHINES.get(package.architecture, package.architecture)
    counts = Counter(said.machine for said in found if said.type in ("program", "library"))
    return min(counts, key=lambda name: (-counts[name], name), default=None)


def _sorted(pairs: set[tuple[str, str | None]]) -> Iterator[tuple[str, str | None]]:
    yield from sorted(pairs, key=lambda pair: (pair[0], pair[1] or ""))
