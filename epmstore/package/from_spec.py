"""From a spec to a candidate. Paths in a spec are relative to the folder that it lies in."""

from pathlib import Path
from typing import Final

from epmstore.clock import Clock, to_rfc3339
from epmstore.errors import NotFoundError, UsageError
from epmstore.package.draft import Completed, Draft
from epmstore.package.spec import Files, Spec, package_of, patterns_of
from epmstore.progress import Progress

SCRIPTS: Final = ".package"
"""The folder of a package that scripts lie in, if they are files beside the spec."""


def build(spec: Spec, base: Path, folder: Path, clock: Clock, progress: Progress) -> Completed:
    """The candidate that a spec of the folder `base` asks for, in `folder`. Raises UsageError,
    NotFoundError, ConflictError, InvalidNameError, EpmError, OSError; then there is none.
    """
    paths = {stage: _script_path(stage, one.file, one.path) for stage, one in spec.scripts.items()}
    package = package_of(spec, paths, to_rfc3339(clock.now()))
    with Draft.begin(
        folder,
        product=spec.package.product,
        package=package,
        name=spec.package.name,
        patterns=patterns_of(spec),
        clock=clock,
        progress=progress,
    ) as draft:
        draft.tag(*spec.package.tags)
        draft.follows_sonames = spec.package.sonames
        for files in spec.files:
            _add(draft, base, files)
        for stage, one in spec.scripts.items():
            if one.file is not None:
                draft.add_file(_there(base / one.file), paths[stage], 0o755)
        return draft.complete(folder)


def _add(draft: Draft, base: Path, files: Files) -> None:
    if (files.from_ is None) == (files.file is None):
        raise UsageError("[[files]]: `from` is a folder or an archive, `file` one file: say one")
    if files.from_ is not None:
        draft.add_source(
            _there(base / files.from_),
            files.to,
            below=files.below,
            part=files.part,
            owner=files.owner,
            group=files.group,
        )
        return
    source = _there(base / (files.file or ""))
    to = f"{files.to}{source.name}" if files.to.endswith("/") or not files.to else files.to
    path = draft.add_file(source, to.lstrip("/"), int(files.mode, 8) if files.mode else None)
    if files.part is not None:
        draft.associate(path, files.part)


def _there(path: Path) -> Path:
    if not path.exists():
        raise NotFoundError(f"{path} is not there")
    return path


def _script_path(stage: str, file: str | None, path: str | None) -> str:
    """Where the script of a stage lies in the package."""
    if (file is None) == (path is None):
        raise UsageError(
            f"scripts.{stage}: `file` lies beside the spec, `path` is one of the package: say one"
        )
    return path or f"{SCRIPTS}/{stage}{Path(file or '').suffix}"
