"""`app.marking`: names for versions, and which are kept for good."""

from epmstore.catalog.model import PinRecord, TagRecord
from epmstore.catalog.selector import check_tag
from epmstore.errors import VersionNotFoundError
from epmstore.given import AnyVersion
from epmstore.workspace.app.context import AppContext


class Marking:
    """Every mark is a record of the history."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    def pin(self, selector: AnyVersion) -> int:
        """Keep a version from being forgotten. Raises VersionNotFoundError."""
        return self._set_pin(selector, True)

    def unpin(self, selector: AnyVersion) -> int:
        """Let retention decide again. Raises VersionNotFoundError."""
        return self._set_pin(selector, False)

    def tag(self, name: str, selector: AnyVersion, *, dry_run: bool = False) -> int:
        """Give a version a name; a name that another version has moves. Raises UsageError."""
        check_tag(name)
        version = self._context.trees.version(selector)
        if not dry_run:
            self._tag(name, version)
        return version

    def untag(self, name: str, *, dry_run: bool = False) -> None:
        """Drop a name. Raises VersionNotFoundError if no version has it."""
        if self._context.state().tagged(name) is None:
            raise VersionNotFoundError(f"no tag {name!r}", hint="`epmstore log` shows tags")
        if not dry_run:
            self._tag(name, None)

    def _tag(self, name: str, version: int | None) -> None:
        time, actor = self._context.now(), self._context.actor
        self._context.commit(TagRecord(time=time, actor=actor, name=name, version=version))

    def _set_pin(self, selector: AnyVersion, pinned: bool) -> int:
        version = self._context.trees.version(selector)
        time, actor = self._context.now(), self._context.actor
        self._context.commit(PinRecord(time=time, actor=actor, version=version, pinned=pinned))
        return version
