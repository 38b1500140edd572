"""`app.parameters`: what the parameters of what is installed are set to, and setting them.

A setting is a checkout: recorded first, journaled, verified, undoable. It brings the files that
parameters are written into, and is said by the version that comes of it; nothing else says it.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Unpack

import msgspec

from epmstore.catalog.installed import installed_at
from epmstore.catalog.model import Lasting, Parameters, ParameterSetting, RecordedActor
from epmstore.catalog.packaging import Package, Parameter
from epmstore.catalog.parameters import (
    INSTANCE,
    LAYERS,
    SITE,
    TEMPORARY,
    parameters_at,
    with_setting,
    without_setting,
)
from epmstore.checkout.goal import EditsGoal, Goal, VersionGoal
from epmstore.checkout.obligations import moment
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import Prepared, Rendering, Request
from epmstore.checkout.wanted import Present
from epmstore.clock import to_rfc3339
from epmstore.digest import BlobInfo
from epmstore.errors import ConflictError, EpmError, NotFoundError, UsageError
from epmstore.locks import WAIT_SECONDS
from epmstore.record.recorder import SAFETY, Look
from epmstore.record.result import Result
from epmstore.record.root import Root, open_root
from epmstore.refcat.effective_values import EffectiveValue, check_settable, effective
from epmstore.refcat.parameter_values import ParameterValue, parse_value, said_value
from epmstore.refcat.releases import Releases
from epmstore.refcat.rendering import of_file
from epmstore.relpath import RelPath, parents
from epmstore.scan.metadata import OwnerNames
from epmstore.tree import Entry
from epmstore.workspace.app.acting import Acting
from epmstore.workspace.app.asked import TermsGiven
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.rendered import (
    RenderedState,
    package_of,
    render_state,
)
from epmstore.workspace.app.temporary import TemporaryMark, lasting, left
from epmstore.workspace.app.written_files import rendered_now

DEFAULT: Final = "default"
_SHOWN: Final = 40
"""Lines of a difference that are shown."""
_LONGEST: Final = 1 << 20
"""Bytes of a file of which the difference is shown."""


class ParameterState(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter as it stands. `layer` is where the value is from: of `site`, `instance`,
    `temporary`, or the `default`; None if it has none. `seconds` are left until a temporary one is
    over. `files` have it.
    """

    app: str
    product: str
    key: str
    parameter: Parameter
    value: ParameterValue | None
    layer: str | None
    seconds: float | None = None
    files: tuple[str, ...] = ()


class ParameterChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a version set a parameter to, in one layer; a value of None took it away."""

    version: int
    time: str
    actor: RecordedActor | None
    layer: str
    value: ParameterValue | None


class SetParameter(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of a parameter: the `words` of its value (None: it is set no more, in all
    layers of the instance, or in that of the `site`). It lasts for so many `seconds`, or for good.
    With `replace`, files that were edited here are written anew all the same.
    """

    name: str
    words: tuple[str, ...] | None = None
    site: bool = False
    seconds: float | None = None
    replace: bool = False


class _Declared(msgspec.Struct, frozen=True):
    """A product that is installed, and what it says."""

    product: str
    key: str
    package: Package

    def find(self, name: str) -> Parameter | None:
        return next((one for one in self.package.parameters if one.name == name), None)


class Parametering:
    """Of one application. What is installed there says which parameters there are."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._acting = Acting(context)
        self._mark = TemporaryMark(context.store, context.app.uuid)

    # Looking.

    def all(self) -> list[ParameterState]:
        """In the order of their packages."""
        said = parameters_at(self._context.state())
        return [
            self._state(one, each)
            for one in self._declared()
            for each in effective(one.package, said, one.product)
        ]

    def get(self, name: str) -> ParameterState:
        """Raises NotFoundError."""
        one, _ = self._named(name)
        return next(
            state
            for state in self.all()
            if (state.product, state.parameter.name) == (one.product, name)
        )

    def history(self, name: str) -> list[ParameterChange]:
        """Everything that it was ever set to, oldest first. Raises NotFoundError for what was never
        set, and is no parameter now.
        """
        found, before = [], dict[tuple[str, str], ParameterSetting]()
        for info in self._context.state().versions:
            said = info.record.parameters
            if said is None:
                continue
            now = {(s.product, s.layer): s for s in said.settings if s.name == name}
            for place in sorted({*now, *before}):
                if now.get(place) != before.get(place):
                    setting = now.get(place)
                    found.append(
                        ParameterChange(
                            version=info.version,
                            time=info.record.time,
                            actor=info.record.actor,
                            layer=place[1],
                            value=None if setting is None else setting.value,
                        )
                    )
            before = now
        if not found:
            self._named(name)
        return found

    def product_of(self, name: str) -> tuple[str, bool]:
        """(UUID of the product that declares a parameter, whether that is of the site). Raises
        NotFoundError.
        """
        one, parameter = self._named(name)
        return one.product, parameter.site

    def has(self, product: str) -> bool:
        """Whether a product (UUID) with parameters is installed."""
        return any(one.product == product for one in self._declared())

    # Setting.

    def plan(self, asked: SetParameter) -> Prepared:
        """What `set` would do now. Writes nothing. Raises as it does."""
        with open_root(self._context.app) as root:
            look = self._context.recorder.status(root)
            return self._acting.checkout(root).plan(self._request(asked, look, look.head.number))

    def set(self, asked: SetParameter, **terms: Unpack[TermsGiven]) -> Result:
        """Set a parameter, or take away what it is set to. The application is stopped and started
        if the parameter counts from its start on, and left alone if not.

        Raises NotFoundError, UsageError for a value that it cannot have, ConflictError if a file
        was edited since it was written; otherwise as a checkout.
        """
        _, parameter = self._named(asked.name)
        if not parameter.restart:
            terms["hooks"] = False
        with self._context.locked_root() as root:
            return self._carry_out(root, lambda look, at: self._request(asked, look, at), terms)

    # What does not last.

    def expired(self) -> list[ParameterSetting]:
        """Temporary settings whose time is over."""
        now = moment(self._context.store.clock)
        return [
            one
            for one in parameters_at(self._context.state()).settings
            if one.lasts is not None and left(one.lasts, now) <= 0
        ]

    @property
    def is_due(self) -> bool:
        """Whether the time of a temporary setting may be over, without a look at the history."""
        return self._mark.is_due(moment(self._context.store.clock))

    def take_back(
        self, *, wait: float = WAIT_SECONDS, restart: bool = True, **terms: Unpack[TermsGiven]
    ) -> Result | None:
        """Take away temporary settings whose time is over; None if there are none, or, without
        `restart`, if the application has to be restarted for one. Files that were edited since are
        left as they are. Raises as `set`.
        """
        with self._context.locked_root(wait) as root:
            gone = self.expired()
            if not gone:
                self._mark_anew()
                return None
            if not self._needs_restart(gone):
                terms["hooks"] = False
            elif not restart:
                return None
            said = parameters_at(self._context.state())
            for one in gone:
                said = without_setting(said, one.product, one.name, [one.layer])
            names = ", ".join(dict.fromkeys(one.name for one in gone))
            label = f"parameter {names}: the time of what was set is over"
            return self._carry_out(
                root, lambda look, at: self._to(said, look, at, label, keep_edited=True), terms
            )

    def _needs_restart(self, settings: Iterable[ParameterSetting]) -> bool:
        names = {(one.product, one.name) for one in settings}
        return any(
            (one.product, each.name) in names and each.restart
            for one in self._declared()
            for each in one.package.parameters
        )

    # Parts.

    def _carry_out(
        self, root: Root, make: Callable[[Look, int | None], Request], terms: TermsGiven
    ) -> Result:
        recorder = self._context.recorder
        look = recorder.status(root)
        request = make(look, look.head.number)
        if isinstance(request.goal, VersionGoal):  # nothing to write: the version stays as it is
            request = make(look, recorder.snapshot(root, SAFETY).version.version)
        self._mark.note(lasting(request.parameters))
        result = self._acting.run(root, request, Terms(**terms))
        return msgspec.structs.replace(result, label=request.label if result.changed else None)

    def _mark_anew(self) -> None:
        self._mark.set(lasting(parameters_at(self._context.state())))

    def _request(self, asked: SetParameter, look: Look, at: int | None) -> Request:
        one, parameter = self._named(asked.name)
        said = parameters_at(self._context.state())
        layer = SITE if asked.site or parameter.site else INSTANCE
        if asked.words is None:
            layers = [SITE] if layer == SITE else [*LAYERS[1:]]
            after = without_setting(said, one.product, asked.name, layers)
            label = f"parameter {asked.name} reset"
        else:
            value = self._value(one, parameter, asked.words)
            lasts = None
            if asked.seconds is not None:
                layer, lasts = TEMPORARY, self._from_now(asked.seconds)
            setting = ParameterSetting(
                product=one.product, name=asked.name, layer=layer, value=value, lasts=lasts
            )
            after = with_setting(said, setting)
            label = f"parameter {asked.name} = {said_value(value) or 'nothing'}"
        return self._to(after, look, at, label, replace=asked.replace)

    def _value(self, one: _Declared, parameter: Parameter, words: Sequence[str]) -> ParameterValue:
        if parameter.type == "secret":
            raise UsageError(
                f"{parameter.name} is a secret, and this release does not set those",
                hint="put it where the application finds it by itself",
            )
        try:
            value = parse_value(parameter, words)
            check_settable(one.package, parameter, value)
        except UsageError as error:
            raise UsageError(f"{parameter.name}: {error.message}", hint=error.hint) from None
        return value

    def _from_now(self, seconds: float) -> Lasting:
        now = moment(self._context.store.clock)
        return Lasting(seconds=seconds, wall=now.wall, boot=now.boot, uptime=now.uptime)

    def _to(
        self,
        said: Parameters,
        look: Look,
        at: int | None,
        label: str,
        *,
        replace: bool = False,
        keep_edited: bool = False,
    ) -> Request:
        """From what is written to what is to be set."""
        states: list[RenderedState] = []
        for one in self._declared():
            states.append(render_state(self._context, one.package, one.product, said))
            said = states[-1].parameters
        present = Present(look, self._context.store.entries, self._context.app.uuid)
        before = rendered_now(self._context)
        edits: dict[RelPath, Entry] = {}
        contents = [pair for state in states for pair in state.rendering.contents]
        written = {e.path: e for state in states for e in state.rendering.entries}
        for path, entry in written.items():
            found = present.found(path)
            if found is not None and not replace and not _is_ours(found, entry, before.get(path)):
                if keep_edited:
                    continue
                raise self._edited(path, before.get(path))
            self._add(edits, entry, found, present, look)
        goal: Goal = EditsGoal(tuple(edits.items())) if edits else VersionGoal(at or 0)
        return Request(
            action="parameter",
            goal=goal,
            within=None if edits else (at or 0, at or 0),
            parameters=said,
            rendering=None if not edits else _only_contents(contents),
            label=label,
        )

    def _add(
        self,
        edits: dict[RelPath, Entry],
        entry: Entry,
        found: Entry | None,
        present: Present,
        look: Look,
    ) -> None:
        """What is to be written, with the folders that it lies in; nothing if it is there."""
        if found is not None and found.content == entry.content:
            return
        if found is not None and found.kind == "file":
            edits[entry.path] = msgspec.structs.replace(
                found, content=entry.content, mtime_ns=entry.mtime_ns, same_as=None, sparse=False
            )
            return
        uid, gid = self._owner(entry.path, present, look)
        names = OwnerNames()
        owner = {"uid": uid, "gid": gid, "user": names.user(uid), "group": names.group(gid)}
        for folder in map(RelPath, parents(entry.path)):
            if present.found(folder) is None and folder not in edits:
                folder_entry = Entry(path=folder, kind="directory", mode=0o755)
                edits[folder] = msgspec.structs.replace(folder_entry, **owner)
        edits[entry.path] = msgspec.structs.replace(entry, **owner)

    def _owner(self, path: RelPath, present: Present, look: Look) -> tuple[int, int]:
        """Whose a new file is: of who has the folder above it."""
        for folder in reversed(list(map(RelPath, parents(path)))):
            found = present.found(folder)
            if found is not None:
                return found.uid, found.gid
        root = look.changes.root
        return (0, 0) if root is None else (root.uid, root.gid)

    def _edited(self, path: RelPath, before: Entry | None) -> ConflictError:
        app = self._context.app.key
        what = "was edited since parameters were written into it"
        if before is None:
            what = "is there already, and parameters were never written into it"
        return ConflictError(
            f"{path!r} {what}",
            hint=f"--replace writes it anew, and what is there stays in a version; `epmstore diff"
            f" --app {app}` shows it as well",
            app=app,
            path=path,
            report=self._difference(path, before),
        )

    def _difference(self, path: RelPath, before: Entry | None) -> Sequence[str]:
        try:
            tree = self._context.trees.at("now")
            live = b"".join(tree.stream(tree.entry(path)))[:_LONGEST]
            then = b""
            if before is not None and before.content is not None:
                then = self._context.store.blobs.read(before.content)[:_LONGEST]
        except (EpmError, OSError):
            return ()
        lines = difflib.unified_diff(
            then.decode(errors="replace").splitlines(),
            live.decode(errors="replace").splitlines(),
            "as it was written",
            "as it is there",
            lineterm="",
            n=1,
        )
        shown = [line for _, line in zip(range(_SHOWN), lines, strict=False)]
        return shown

    def _declared(self) -> list[_Declared]:
        """Of all that is installed, and says what may be set."""
        found = []
        for said in installed_at(self._context.state()):
            package = package_of(self._context, said)
            about = Releases(self._context.store, said.product).about()
            if package is not None and about is not None and package.parameters:
                found.append(_Declared(said.product, about.key, package))
        return found

    def _named(self, name: str) -> tuple[_Declared, Parameter]:
        declared = self._declared()
        for one in declared:
            parameter = one.find(name)
            if parameter is not None:
                return one, parameter
        key = self._context.app.key
        names = [each.name for one in declared for each in one.package.parameters]
        if not installed_at(self._context.state()):
            raise NotFoundError(
                f"nothing is installed in {key}",
                hint="`epmstore install FILE` does, and parameters come with that",
                app=key,
                parameter=name,
            )
        near = difflib.get_close_matches(name, names, n=1)
        raise NotFoundError(
            f"what is installed in {key} has no parameter {name!r}"
            if names
            else f"nothing that is installed in {key} has parameters",
            hint=f"did you mean {near[0]}?" if near else f"`epmstore param list --app {key}`",
            app=key,
            parameter=name,
        )

    def _state(self, one: _Declared, each: EffectiveValue) -> ParameterState:
        setting, seconds = each.setting, None
        if setting is not None and setting.lasts is not None:
            seconds = max(0.0, left(setting.lasts, moment(self._context.store.clock)))
        layer = DEFAULT if each.value is not None else None
        return ParameterState(
            app=self._context.app.key,
            product=one.product,
            key=one.key,
            parameter=each.parameter,
            value=each.value,
            layer=layer if setting is None else setting.layer,
            seconds=seconds,
            files=tuple(
                file.path
                for file in one.package.parameter_files
                if each.parameter in of_file(file, one.package.parameters)
            ),
        )


def until(state: ParameterState, now: float) -> str | None:
    """When a temporary setting is over, in RFC 3339."""
    return None if state.seconds is None else to_rfc3339(now + state.seconds)


def _only_contents(contents: Sequence[tuple[BlobInfo, bytes]]) -> Rendering:
    """Entries are in the goal."""
    return Rendering((), tuple(contents))


def _is_ours(found: Entry, entry: Entry, before: Entry | None) -> bool:
    """Whether what is there is what was written, or is to be."""
    if found.kind != "file":
        return False
    return found.content in (entry.content, None if before is None else before.content)
