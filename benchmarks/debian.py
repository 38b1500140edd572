"""What Debian's packages need, as products of ours: real needs for the benchmark of the solver.

Read is what apt knows of its mirrors (`apt-cache dumpavail`), kept in benchmarks/.cache. Converted:

- A name is the key of a product, and a capability where others provide it, too.
- `a | b` is a capability that both offer, in those releases that are within the ranges.
- Versions have no epoch and no revision here: 1:2.3-4 becomes 1.2.3.4 (0.2.3.4 without an epoch).
- Depends and Pre-Depends are needs, Recommends optional ones, Conflicts and Breaks conflicts.
- Debian has one version of a package; nine older ones are made of it, with the same needs, and an
  exact need (`= 2.3-4`) is one of the version that is as old.
"""

import hashlib
import random
import re
import subprocess
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.trees import CACHE
from epmstore.catalog.packaging import Need, Offer, Package
from epmstore.package.universe import ProductRelease
from epmstore.package.versions import is_version_within

_FIELD = re.compile(r"^([A-Za-z-]+): (.*)$")
_TERM = re.compile(r"([a-z0-9][a-z0-9+.-]+)(?::\w+)?\s*(?:\((<<|<=|=|>=|>>)\s*([^)]+)\))?")
_WANTED = {"Package", "Version", "Depends", "Pre-Depends", "Recommends", "Conflicts", "Breaks",
           "Provides", "Priority", "Architecture"}  # fmt: skip


class Term(NamedTuple):
    """`libc6 (>= 2.36)`."""

    name: str
    sign: str
    version: str


class Stanza(NamedTuple):
    """A package of Debian. Needs are lists of alternatives."""

    name: str
    version: str
    needs: list[list[Term]]
    wishes: list[list[Term]]
    conflicts: list[Term]
    provides: list[Term]
    priority: str


def text() -> str:
    """All that apt knows, read once and kept."""
    kept: Path = CACHE / "available.txt"
    if not kept.exists():
        CACHE.mkdir(exist_ok=True)
        done = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True)
        kept.write_bytes(done.stdout)
    return kept.read_text(encoding="utf-8")


def stanzas() -> dict[str, Stanza]:
    """By name; of several versions the last one that apt names."""
    found = {}
    for block in text().split("\n\n"):
        fields = {one[1]: one[2] for line in block.splitlines() if (one := _FIELD.match(line))}
        if "Package" in fields and _WANTED & fields.keys():
            stanza = _stanza(fields)
            found[stanza.name] = stanza
    return found


def _stanza(fields: dict[str, str]) -> Stanza:
    return Stanza(
        fields["Package"],
        _version(fields["Version"]),
        [*_groups(fields.get("Pre-Depends", "")), *_groups(fields.get("Depends", ""))],
        _groups(fields.get("Recommends", "")),
        [
            one
            for key in ("Conflicts", "Breaks")
            for group in _groups(fields.get(key, ""))
            for one in group
        ],
        [one for group in _groups(fields.get("Provides", "")) for one in group],
        fields.get("Priority", ""),
    )


def _groups(said: str) -> list[list[Term]]:
    return [
        [
            Term(one[1], one[2] or "", _version(one[3]) if one[3] else "")
            for text in group.split("|")
            if (one := _TERM.match(text.strip()))
        ]
        for group in said.split(",")
        if group.strip()
    ]


def _version(said: str) -> str:
    epoch, colon, rest = said.strip().partition(":")
    whole = f"{epoch}.{rest}" if colon else f"0.{said.strip()}"
    return re.sub(r"[^0-9A-Za-z.+~^_]", ".", whole)[:56]


class Archive:
    """`count` products with all that they need, and `versions` releases of each."""

    def __init__(self, count: int, versions: int, seed: int) -> None:
        self.all = stanzas()
        self._versions = versions
        self.virtual: dict[str, list[str]] = defaultdict(list)
        for one in self.all.values():
            for term in one.provides:
                self.virtual[term.name].append(one.name)
        self.names = self._chosen(count, random.Random(seed))
        self._either: dict[str, list[tuple[Term, str]]] = defaultdict(list)
        drafts = {name: list(self._drafts(self.all[name])) for name in self.names}
        self.releases = [one for name in self.names for one in self._releases(name, drafts[name])]

    def _chosen(self, count: int, dice: random.Random) -> list[str]:
        """What a base system has, then chosen by dice, each with what it needs first."""
        base = sorted(n for n, one in self.all.items() if one.priority in ("required", "important"))
        rest = sorted(self.all.keys() - set(base))
        dice.shuffle(rest)
        found: dict[str, None] = {}
        for name in [*base, *rest]:
            closure = self._closure(name, found)
            if len(found) + len(closure) <= count:
                found |= closure
            if len(found) >= count:
                break
        self.base = [name for name in found if name in base]
        return list(found)

    def _closure(self, name: str, found: dict[str, None]) -> dict[str, None]:
        closure: dict[str, None] = {}
        queue = [name]
        for one in queue:
            if one in found or one in closure:
                continue
            closure[one] = None
            for group in self.all[one].needs:
                real = next((t.name for t in group if t.name in self.all), None)
                provided = next((p for t in group for p in self.virtual.get(t.name, ())), None)
                queue += [chosen] if (chosen := real or provided) else []
        return closure

    def _drafts(self, one: Stanza) -> Iterator[tuple[str, list[Need], list[Need]]]:
        """(version, needs, conflicts) of each release, the oldest first."""
        for age in reversed(range(self._versions)):
            needs = [need for group in one.needs if (need := self._need(group, age))]
            wishes = [need for group in one.wishes if (need := self._need(group, age, True))]
            conflicts = [
                need
                for term in one.conflicts
                if term.name != one.name and (need := self._need([term], age))
            ]
            yield _aged(one.version, age), [*needs, *wishes], conflicts

    def _need(self, group: list[Term], age: int, optional: bool = False) -> Need | None:
        known = [t for t in group if t.name in self.all or t.name in self.virtual]
        if not known:
            return None
        if len(known) > 1:
            return Need(capability=self._capability(known, age), optional=optional)
        term = known[0]
        low, high = _bounds(term, age)
        if term.name in self.all and term.name not in self.virtual:
            return Need(product=_key(term.name), min=low, max=high, optional=optional)
        return Need(capability=_key(term.name), min=low, max=high, optional=optional)

    def _capability(self, terms: list[Term], age: int) -> str:
        aged = [
            term._replace(version=_aged(term.version, age)) if term.sign == "=" else term
            for term in terms
        ]
        name = "either-" + hashlib.sha1(repr(aged).encode()).hexdigest()[:16]
        for term in aged:
            if (term, name) not in self._either[term.name]:
                self._either[term.name].append((term, name))
        return name

    def _releases(
        self, name: str, drafts: Iterable[tuple[str, list[Need], list[Need]]]
    ) -> Iterator[ProductRelease]:
        one = self.all[name]
        for number, (version, needs, conflicts) in enumerate(drafts):
            offers = {(term.name, term.version or None) for term in one.provides}
            offers |= {(name, version)} if name in self.virtual else set()
            offers |= {(said, None) for said in self._alternatives_of(one, version)}
            provides = tuple(
                Offer(capability=_key(said), version=of) for said, of in sorted(offers, key=str)
            )
            package = Package(
                version=version,
                build=1,
                requires=tuple(needs),
                conflicts=tuple(conflicts),
                provides=provides,
            )
            yield ProductRelease(app(name), _key(name), number, package)

    def _alternatives_of(self, one: Stanza, version: str) -> Iterator[str]:
        """The capabilities of alternatives that a release is among."""
        for term, said in self._either.get(one.name, ()):
            if is_version_within(version, 1, *_bounds(term, 0)):
                yield said
        for offered in one.provides:
            for term, said in self._either.get(offered.name, ()):
                if not term.sign:
                    yield said


def app(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9_.-]", "_", name)[:64]


def _aged(version: str, age: int) -> str:
    return f"{version}~{99 - age}" if age else version


def _bounds(term: Term, age: int) -> tuple[str | None, str | None]:
    match term.sign:
        case ">=":
            return f"{term.version}~", None
        case ">>":
            return f"{term.version}^", None
        case "<=":
            return None, term.version
        case "<<":
            return None, f"{term.version}~"
        case "=":
            return _aged(term.version, age), _aged(term.version, age)
    return None, None
