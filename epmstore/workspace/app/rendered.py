"""The files that parameters of an application are written into, as they are to be."""

from collections.abc import Mapping

import msgspec

from epmstore.catalog.installed import InstalledSet, find_product, installed_at
from epmstore.catalog.model import NO_PACKAGE, Installed, Parameters, RenderedFile
from epmstore.catalog.packaging import Package
from epmstore.catalog.parameters import (
    SITE,
    parameters_at,
    with_files,
    without_product,
)
from epmstore.checkout.request import Rendering
from epmstore.digest import BlobInfo, identify
from epmstore.errors import ConflictError, UsageError
from epmstore.refcat import packaging_form
from epmstore.refcat.effective_values import violations, written
from epmstore.refcat.releases import Releases
from epmstore.relpath import RelPath, from_json
from epmstore.tree import Entry
from epmstore.wording import counted
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.written_files import rendered_now

_MODE = 0o644


class RenderedState(msgspec.Struct, frozen=True):
    """What is set, and the files that have it."""

    parameters: Parameters
    rendering: Rendering


def package_of(context: AppContext, said: Installed) -> Package | None:
    """What the release of a product says as a package. Raises VersionNotFoundError."""
    releases = Releases(context.store, said.product)
    if releases.latest() is None:
        return None
    found = releases.package(said.release)
    return None if found is NO_PACKAGE else packaging_form.read(found)


def rendered_for(context: AppContext, product: Installed, said: Parameters) -> RenderedState | None:
    """The files of a product once its release is this one and `said` is set; None if it is not
    written into files here: it was adopted, and nothing was set yet. Raises ConflictError for what
    is set and the release does not allow.
    """
    package = package_of(context, product)
    if package is None or not _is_written(context, product, said):
        return None
    return render_state(context, package, product.product, said)


def rendered_with(
    context: AppContext, installed: InstalledSet | None, moment: int | None = None
) -> tuple[Parameters | None, Rendering | None]:
    """(what is set, the files that have it) once these are installed, and what is set stays; both
    None where nothing is written. What is new in files is of this `moment` (ns since 1970; None:
    now). Raises ConflictError.
    """
    said, rendering = parameters_at(context.state()), None
    for product in installed or ():
        done = rendered_for(context, product, said)
        if done is not None:
            said, rendering = done.parameters, done.rendering
    if rendering is None:
        return None, None
    if moment is not None:
        new = {info for info, _ in rendering.contents}
        before = {entry.content for entry in rendered_now(context).values()}
        entries = tuple(
            msgspec.structs.replace(one, mtime_ns=moment) if one.content in new - before else one
            for one in rendering.entries
        )
        rendering = msgspec.structs.replace(rendering, entries=entries)
    return said, rendering


def render_state(
    context: AppContext, package: Package, product: str, said: Parameters
) -> RenderedState:
    """The same, from the first setting on. Raises ConflictError."""
    check_settings(context, package, product, said)
    before = rendered_now(context)
    entries: list[Entry] = []
    contents: dict[BlobInfo, bytes] = {}
    for text, data in _written(package, said, product).items():
        path = from_json(text)
        _check_class(context, path)
        info = identify(data)
        contents[info] = data
        entries.append(_entry(context, path, info, before))
    files = [
        RenderedFile(product=product, path=entry.path, sha256=entry.content.sha256.hex())
        for entry in entries
        if entry.content is not None
    ]
    others = [entry for path, entry in before.items() if _is_of_other(context, path, product)]
    rendering = Rendering((*others, *entries), tuple(contents.items()))
    return RenderedState(with_files(said, product, files), rendering)


def without_settings(said: Parameters, product: str) -> Parameters | None:
    """What is set once a product is uninstalled; None if that is no change."""
    rest = without_product(said, product)
    return None if rest == said else rest


def check_settings(context: AppContext, package: Package, product: str, said: Parameters) -> None:
    """Raises ConflictError for what is set and a release does not allow."""
    wrong = list(violations(package, said, product))
    if wrong:
        names = dict.fromkeys(setting.name for setting, _ in wrong)
        first, why = wrong[0]
        site = " --site" if first.layer == SITE else ""
        title = f"{package.version}-{package.build}"
        app = context.app.key
        raise ConflictError(
            f"{app} has {counted(len(names), 'parameter')} set to what {title} does not allow:"
            f" {first.name}: {why}",
            hint=f"`epmstore param reset {first.name}{site} --app {app}`, or set what both allow",
            app=app,
            parameters=list(names),
            report=[f"{setting.name}: {why}" for setting, why in wrong],
        )


def _written(package: Package, said: Parameters, product: str) -> Mapping[str, bytes]:
    try:
        return written(package, said, product)
    except UsageError as error:
        raise ConflictError(error.message, hint=error.hint) from None


def _is_written(context: AppContext, product: Installed, said: Parameters) -> bool:
    if any(one.product == product.product for one in said.files):
        return True
    before = find_product(installed_at(context.state()), product.product)
    if before is None:
        return not product.adopted
    package = package_of(context, before)
    return not before.adopted and (package is None or not package.parameter_files)


def _is_of_other(context: AppContext, path: RelPath, product: str) -> bool:
    files = parameters_at(context.state()).files
    return any(one.path == path and one.product != product for one in files)


def _entry(
    context: AppContext, path: RelPath, info: BlobInfo, before: Mapping[RelPath, Entry]
) -> Entry:
    now_ns = int(context.store.clock.now() * 1e9)
    there = before.get(path)
    if there is None:
        return Entry(
            path=path, kind="file", mode=_MODE, user="root", group="root", content=info,
            mtime_ns=now_ns,
        )  # fmt: skip
    if there.content == info:
        return there
    return msgspec.structs.replace(there, content=info, mtime_ns=now_ns, same_as=None, sparse=False)


def _check_class(context: AppContext, path: RelPath) -> None:
    found = context.recorder.rules.classify(path, False)
    if found in ("ignore", "state", "secret"):
        raise ConflictError(
            f"{path!r} is of class {found} in {context.app.key}: parameters are not written there",
            hint=f"`epmstore app show {context.app.key}` lists the patterns, `epmstore app set`"
            " changes them",
            path=path,
        )
