"""What is known when needs are solved: what is installed, what there is to choose from, and what is
wanted. Pure: values; the caller that makes them has read the store.

- A *slot* is a product in an application: where a release of it is installed, or may be.
- What the host itself has (libraries and capabilities of its system) is `system`.
- An application that is there, and was never recorded as installed, is `found`: it meets needs, and
  is neither changed nor removed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from epmstore.catalog.model import Requirement
from epmstore.catalog.packaging import Need, Package
from epmstore.refcat.lines import Lines
from epmstore.refcat.naming import title

WantAction: TypeAlias = Literal["install", "upgrade", "remove"]


class Slot(NamedTuple):
    """A product (its UUID) in an application (its key)."""

    app: str
    instance: str


@dataclass(frozen=True, slots=True, eq=False)
class ProductRelease:
    """A release of a product. `number` is None for a candidate, which has none yet; `package` and
    `digest` are None where they are not known; `label` is that of a release that is no package.
    `revoked` says why its vendor withdrew it. `given`: its file was named.
    """

    app: str
    product: str
    number: int | None
    package: Package | None = None
    label: str | None = None
    digest: str | None = None
    requires: tuple[Requirement, ...] = ()
    revoked: str | None = None
    given: bool = False

    @property
    def version(self) -> str | None:
        return self.package.version if self.package else None

    @property
    def build(self) -> int | None:
        return self.package.build if self.package else None

    @property
    def order(self) -> str:
        return self.package.order if self.package else "release"

    @property
    def parts(self) -> frozenset[str]:
        return frozenset(part.name for part in self.package.parts) if self.package else frozenset()

    @property
    def title(self) -> str:
        """`crm 4.1.0-1 (41)`."""
        named = f"{self.version}-{self.build}" if self.package else self.label
        if self.number is None:
            return f"{self.product} {named or 'without a number'}"
        return f"{self.product} {title(self.number, named)}"

    @property
    def identity(self) -> object:
        """The same for what is one release of a product: its number, or the digest of a candidate,
        or a candidate itself.
        """
        return self.number if self.number is not None else self.digest or id(self)


@dataclass(frozen=True, slots=True, eq=False)
class InstalledRelease:
    """A release that is installed in an application. `parts` of None are all. `frozen`: it stays as
    it is. `found`: it is not recorded as installed.
    """

    instance: str
    release: ProductRelease
    parts: frozenset[str] | None = None
    frozen: bool = False
    found: bool = False

    @property
    def slot(self) -> Slot:
        return Slot(self.release.app, self.instance)

    def has_part(self, name: str) -> bool:
        return name in self.release.parts and (self.parts is None or name in self.parts)


@dataclass(frozen=True, slots=True)
class Want:
    """What a user asks for. `product` is a key or a UUID, `within` a range of it, `release` a
    certain one. An installed release that is within is enough to install, and not to upgrade.
    `revoked`: it may be one that was withdrawn. `members` are optional ones of a bundle, by key.
    """

    product: str
    action: WantAction = "install"
    within: Need | None = None
    release: ProductRelease | None = None
    instance: str | None = None
    parts: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class SolveRequest:
    """`upgrade_all`: what can be newer becomes newer. `downgrade`: releases may become older."""

    wants: tuple[Want, ...] = ()
    upgrade_all: bool = False
    downgrade: bool = False


@dataclass(frozen=True, slots=True)
class Universe:
    """`releases` are all that are here; `targets` are the numbers that the channel of a product (by
    UUID) offers, and no others of it are chosen from; `lines` are those of products with several.
    """

    installed: tuple[InstalledRelease, ...] = ()
    releases: tuple[ProductRelease, ...] = ()
    targets: Mapping[str, frozenset[int]] = field(default_factory=dict)
    system: frozenset[str] = frozenset()
    architecture: str | None = None
    lines: Mapping[str, Lines] = field(default_factory=dict)
