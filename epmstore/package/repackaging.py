"""Candidates of what is there already: a package of Debian's kind, a release, what an application
has. Nothing is installed, and nothing is run.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from epmstore.catalog.classes import Patterns
from epmstore.catalog.packaging import MAX_PATTERNS, Package
from epmstore.clock import Clock, to_rfc3339
from epmstore.errors import UsageError
from epmstore.package.debs import DebSaid, read_deb, without_libraries
from epmstore.package.draft import Completed, Draft
from epmstore.package.parts import literal_pattern
from epmstore.progress import Progress
from epmstore.refcat.archives import DebControl
from epmstore.refcat.unpacked import deb_control
from epmstore.relpath import from_bytes, is_relpath, parse_relpath, to_bytes
from epmstore.tree import Entry


class DebOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The `product` (its key), where that is not the name of the deb; what lies `below` one folder
    alone; the `root` that is proposed; `state`: patterns; `needed`: what it depends on has to be
    installed as packages, too.
    """

    product: str | None = None
    build: int = 1
    below: str | None = None
    root: str | None = None
    state: tuple[str, ...] = ()
    needed: bool = False


def look_at_deb(path: Path, options: DebOptions) -> tuple[DebControl, DebSaid]:
    """What a deb says. Raises UsageError for what is none, EpmError, OSError."""
    control = deb_control(path)
    if control is None:
        raise UsageError(
            f"{path} is no package of Debian's kind",
            hint="folders and other archives: `epmstore package build`",
        )
    said = read_deb(control, product=options.product, build=options.build, needed=options.needed)
    return control, replace(said, package=replace(said.package, root=options.root))


def from_deb(
    path: Path, folder: Path, options: DebOptions, clock: Clock, progress: Progress
) -> tuple[Completed, DebSaid]:
    """The candidate of a deb, in `folder`; its files that are configuration of the host are that.
    Raises as `look_at_deb`, and as `Draft.complete`.
    """
    control, said = look_at_deb(path, options)
    config = tuple(_config(control, options.below))
    if len(config) > MAX_PATTERNS:
        raise UsageError(f"{path.name} has more than {MAX_PATTERNS:,} files of configuration")
    patterns = Patterns(config=config, state=options.state)
    with Draft.begin(
        folder,
        product=said.product,
        package=replace(said.package, build_time=to_rfc3339(clock.now())),
        patterns=patterns,
        clock=clock,
        progress=progress,
    ) as draft:
        draft.add_source(path, below=options.below)
        asked = {name for one in draft.elf_files().values() for name in one.needed}
        draft.package = without_libraries(draft.package, asked)
        return draft.complete(folder), said


def _config(control: DebControl, below: str | None) -> Iterator[str]:
    top = b"" if below is None else to_bytes(parse_relpath(below.strip("/"))) + b"/"
    for raw in dict.fromkeys(control.conffiles):
        path = from_bytes(raw[len(top) :]) if raw.startswith(top) else ""
        if path and is_relpath(path):
            yield literal_pattern(path)


def repackage(
    product: str,
    entries: Iterable[Entry],
    stream: Callable[[Entry], Iterator[bytes]],
    package: Package,
    patterns: Patterns,
    folder: Path,
    clock: Clock,
    progress: Progress,
) -> Completed:
    """The candidate of a tree of a store, in `folder`; `stream` gives contents. Raises as
    `Draft.complete`, and as `stream`.
    """
    with Draft.begin(
        folder,
        product=product,
        package=replace(package, build_time=to_rfc3339(clock.now())),
        patterns=patterns,
        clock=clock,
        progress=progress,
    ) as draft:
        draft.follows_sonames = not package.requires and not package.provides
        draft.add_tree(entries, stream)
        return draft.complete(folder)
