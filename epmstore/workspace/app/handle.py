"""`workspace.app(key)`: one application. A thin face: each verb is that of a facet, where its
contract stands, and where the finer ones are.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from epmstore.catalog.appcat import App
from epmstore.given import AnyPath, AnyVersion
from epmstore.workspace.app.asked import ALL, RepairOptions, TermsGiven
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.reading import Reading

if TYPE_CHECKING:  # a facet is imported when it is first asked for: start-up
    from epmstore.catalog.diff import Change
    from epmstore.catalog.model import AcceptRecord
    from epmstore.catalog.state import VersionInfo
    from epmstore.checkout.plan import ConfigPolicy
    from epmstore.checkout.request import Prepared
    from epmstore.checkout.target import ExportedTree
    from epmstore.index.entries import Span
    from epmstore.record.result import Result
    from epmstore.record.status import Status
    from epmstore.refcat.blame import Blamed
    from epmstore.refcat.explanation import Explanation
    from epmstore.refcat.releases import Releases
    from epmstore.refcat.verify import Verified
    from epmstore.tree import Entry
    from epmstore.workspace.app.explaining import Explaining
    from epmstore.workspace.app.installing import Installing
    from epmstore.workspace.app.marking import Marking
    from epmstore.workspace.app.merging import Merging
    from epmstore.workspace.app.obligations import Obligations
    from epmstore.workspace.app.parametering import Parametering
    from epmstore.workspace.app.recording import Recording
    from epmstore.workspace.app.repairing import Repairing
    from epmstore.workspace.app.restoring import Restoring
    from epmstore.workspace.app.verifying import Verifying
    from epmstore.workspace.deviations import BaselineStatus
    from epmstore.workspace.trees import Trees


class AppHandle:
    """One application of an open workspace."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    @property
    def app(self) -> App:
        """What it is registered as."""
        return self._context.app

    @property
    def releases(self) -> "Releases":
        """Those that the application is compared with; none, if it has no refcat."""
        return self._context.releases

    @property
    def trees(self) -> "Trees":
        """What selectors mean: numbers of versions, releases, and the trees of both."""
        return self._context.trees

    @cached_property
    def reading(self) -> Reading:
        """What was recorded: versions, trees, differences, single paths; what selectors mean."""
        return Reading(self._context)

    @cached_property
    def recording(self) -> "Recording":
        """Looking at the root, and recording it."""
        from epmstore.workspace.app.recording import Recording  # noqa: PLC0415 - start-up

        return Recording(self._context)

    @cached_property
    def marking(self) -> "Marking":
        """Names for versions, and which are kept for good."""
        from epmstore.workspace.app.marking import Marking  # noqa: PLC0415 - start-up

        return Marking(self._context)

    @cached_property
    def restoring(self) -> "Restoring":
        """Bringing the root, or a folder elsewhere, to a tree that there is; undoing that."""
        from epmstore.workspace.app.restoring import Restoring  # noqa: PLC0415 - start-up

        return Restoring(self._context)

    @cached_property
    def repairing(self) -> "Repairing":
        """Bringing the root back to what its vendor released."""
        from epmstore.workspace.app.repairing import Repairing  # noqa: PLC0415 - start-up

        return Repairing(self._context)

    @cached_property
    def installing(self) -> "Installing":
        """What is installed in the root, and what a person should know of that."""
        from epmstore.workspace.app.installing import Installing  # noqa: PLC0415 - start-up

        return Installing(self._context)

    @cached_property
    def merging(self) -> "Merging":
        """Configuration that was edited here, and that its vendor changed as well."""
        from epmstore.workspace.app.merging import Merging  # noqa: PLC0415 - start-up

        return Merging(self._context)

    @cached_property
    def parameters(self) -> "Parametering":
        """What the parameters of what is installed are set to."""
        from epmstore.workspace.app.parametering import Parametering  # noqa: PLC0415 - start-up

        return Parametering(self._context)

    @cached_property
    def verifying(self) -> "Verifying":
        """The root beside what it should be."""
        from epmstore.workspace.app.verifying import Verifying  # noqa: PLC0415 - start-up

        return Verifying(self._context)

    @cached_property
    def explaining(self) -> "Explaining":
        """What accounts for what was recorded."""
        from epmstore.workspace.app.explaining import Explaining  # noqa: PLC0415 - start-up

        return Explaining(self._context)

    @cached_property
    def obligations(self) -> "Obligations":
        """What comes after a checkout, and holding an application still."""
        from epmstore.workspace.app.obligations import Obligations  # noqa: PLC0415 - start-up

        return Obligations(self._context)

    def versions(self) -> "list[VersionInfo]":
        """All of them, oldest first."""
        return self.reading.versions()

    def ls(self, selector: AnyVersion, path: AnyPath | None = None) -> "list[Entry]":
        """The entries of a version or a release: all, or a path and what is below it."""
        return self.reading.ls(selector, path)

    def cat(self, selector: AnyVersion, path: AnyPath) -> Iterator[bytes]:
        """The content of a file in a version or a release, in pieces."""
        return self.reading.cat(selector, path)

    def diff(
        self, one: AnyVersion, two: AnyVersion, paths: Sequence[AnyPath] = ()
    ) -> "list[Change]":
        """What leads from one version or release to another; either may be `now`."""
        return self.reading.diff(one, two, paths)

    def history(self, path: AnyPath) -> "list[Span]":
        """Every state that a path was in, oldest first."""
        return self.reading.history(path)

    def find(self, pattern: str) -> "list[Span]":
        """The states of every path, past and present, that matches a shell pattern."""
        return self.reading.find(pattern)

    def blame(self, path: AnyPath) -> "list[Blamed]":
        """Every change of a path that was recorded, newest first, and what explains it."""
        return self.explaining.blame(path)

    def explanations(self) -> "dict[int, Explanation]":
        """What explains each version, by the refcat; empty without one."""
        return self.explaining.explanations() if self.releases.exists() else {}

    def status(self) -> "Status":
        """What a snapshot would record now."""
        return self.recording.status()

    def snapshot(self, label: str | None = None) -> "Result":
        """Record the root as a deliberate change."""
        return self.recording.snapshot(label)

    def run(self, command: Sequence[str], label: str | None = None) -> "Result":
        """Run a command, and record what it did as one change with its exit status."""
        return self.recording.run(command, label)

    def change_begin(self, label: str | None = None) -> "Result":
        """Record what is there, and leave the root alone until `change_end`."""
        return self.recording.change_begin(label)

    def change_end(self, label: str | None = None, exit_status: int | None = None) -> "Result":
        """Record everything since `change_begin` as one change."""
        return self.recording.change_end(label, exit_status)

    def tag(self, name: str, selector: AnyVersion) -> int:
        """Give a version a name; a name that another version has moves."""
        return self.marking.tag(name, selector)

    def untag(self, name: str) -> None:
        """Drop a name."""
        self.marking.untag(name)

    def pin(self, selector: AnyVersion) -> int:
        """Keep a version from being forgotten."""
        return self.marking.pin(selector)

    def unpin(self, selector: AnyVersion) -> int:
        """Let retention decide again."""
        return self.marking.unpin(selector)

    def plan(
        self,
        selector: AnyVersion,
        paths: Sequence[AnyPath] = (),
        *,
        exact: bool = False,
        config: "ConfigPolicy" = "keep",
    ) -> "Prepared":
        """What `checkout` would do now."""
        return self.restoring.plan(selector, paths, exact=exact, config=config)

    def checkout(
        self,
        selector: AnyVersion,
        paths: Sequence[AnyPath] = (),
        *,
        exact: bool = False,
        config: "ConfigPolicy" = "keep",
        **terms: Unpack[TermsGiven],
    ) -> "Result":
        """Bring the root, or some paths of it, to a version or a release."""
        return self.restoring.checkout(selector, paths, exact=exact, config=config, **terms)

    def rollback(self, *, config: "ConfigPolicy" = "keep", **terms: Unpack[TermsGiven]) -> "Result":
        """To the last change if that brings something back, else to the one before what is live."""
        return self.restoring.rollback(config=config, **terms)

    def undo(self, **terms: Unpack[TermsGiven]) -> "Result":
        """Reverse the last checkout, rollback or repair."""
        return self.restoring.undo(**terms)

    def redo(self, **terms: Unpack[TermsGiven]) -> "Result":
        """Do again what was undone last."""
        return self.restoring.redo(**terms)

    def apply(self, plan: "Prepared", **terms: Unpack[TermsGiven]) -> "Result":
        """Carry out a plan made earlier."""
        return self.restoring.apply(plan, **terms)

    def edit(
        self,
        entries: "Sequence[Entry]",
        *,
        remove: Sequence[AnyPath] = (),
        label: str | None = None,
        **terms: Unpack[TermsGiven],
    ) -> "Result":
        """Make some paths what these entries say, and remove others; everything else stays."""
        return self.restoring.edit(entries, remove=remove, label=label, **terms)

    def export(
        self,
        selector: AnyVersion,
        target: AnyPath,
        paths: Sequence[AnyPath] = (),
        *,
        dry_run: bool = False,
    ) -> "ExportedTree":
        """A version or a release, or some paths of it, as a folder of its own."""
        return self.restoring.export(selector, target, paths, dry_run=dry_run)

    def repair(self, asked: RepairOptions = ALL, **terms: Unpack[TermsGiven]) -> "Result":
        """Bring the root (or some paths) to a release: by default, to that which explains it."""
        return self.repairing.repair(asked, **terms)

    def recover(self) -> "Result | None":
        """Finish or take back an interrupted checkout, and do what is owed around it."""
        return self.obligations.recover()

    def confirm(self) -> int | None:
        """What a checkout did is good, and stays: the version."""
        return self.obligations.confirm()

    def hold(self, reason: str | None = None, until: str | None = None) -> None:
        """Keep automation from moving this application. `until` is a time in RFC 3339."""
        self.obligations.hold(reason, until)

    def unhold(self) -> None:
        """Let automation go on."""
        self.obligations.unhold()

    def verify(
        self, release: AnyVersion | None = None, paths: Sequence[AnyPath] = ()
    ) -> "Verified":
        """What every path of the live root is to the vendor."""
        return self.verifying.verify(release, paths)

    def accept(
        self,
        selector: AnyVersion = "latest",
        paths: Sequence[AnyPath] = (),
        reason: str | None = None,
    ) -> "AcceptRecord":
        """Declare a version right: all of it, or some paths of it and what is below them."""
        return self.verifying.accept(selector, paths, reason)

    def baseline_status(self) -> "BaselineStatus":
        """The root beside its baseline, and since when it deviates from that."""
        return self.verifying.baseline_status()

    def report(
        self, host: str, release: AnyVersion | None = None, *, redact: bool = False
    ) -> dict[str, Any]:
        """The `report` of docs/json.md."""
        from epmstore.workspace.app.reporting import Reporter  # noqa: PLC0415 - start-up

        return Reporter(self._context).report(host, release, redact=redact)
