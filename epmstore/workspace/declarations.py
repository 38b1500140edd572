"""The folder `apps.d` of a store, and the drop-ins of its applications' systemd units.

The default store of the system writes a file there for each application that it registers; any
other store only reads what is there.
"""

from pathlib import Path
from typing import Final

from epmstore.atomic import make_directories, remove_file, replace_file, replace_read
from epmstore.catalog.appcat import App
from epmstore.errors import ConflictError, UsageError
from epmstore.places import APPS
from epmstore.workspace.declared import (
    MARK,
    SUFFIX,
    Declared,
    declare,
    parse_declared,
    render_declared,
)
from epmstore.workspace.settings import read_trusted

BOOT: Final = "epmstore-boot@{key}.service"
"""Succeeds when the files of an application are whole: of this one, whatever is with others."""
DROP_IN: Final = "epmstore-{key}.conf"
_DROP_IN: Final = f"""\
{MARK}: {{key}} starts when its files are whole, whatever interrupted a checkout.
# `epmstore app set {{key}} --unit ''` takes it away.
[Unit]
Requires={BOOT}
After={BOOT}
"""


class Declarations:
    """The files of `apps.d` in a configuration folder."""

    def __init__(self, config: Path, *, writes: bool) -> None:
        self.folder = config / APPS
        self._writes = writes

    def declared(self) -> list[str]:
        """The applications that have a file, in order. Raises OSError."""
        try:
            found = sorted(path.name for path in self.folder.iterdir())
        except FileNotFoundError:
            return []
        return [
            name.removesuffix(SUFFIX)
            for name in found
            if name.endswith(SUFFIX) and not name.startswith(".")
        ]

    def read(self, key: str) -> Declared:
        """Raises UsageError, naming the file, OSError."""
        path = self.path(key)
        data = read_trusted(path)
        if data is None:
            raise UsageError(f"{path} is not there any more", file=str(path))
        return parse_declared(data, key, str(path))

    def path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"

    def check_free(self, key: str) -> None:
        """Raises ConflictError if there is a file of this name already."""
        path = self.path(key)
        if path.exists():
            raise ConflictError(
                f"{key} is declared in {path}", hint="`epmstore app apply` registers it"
            )

    def check_ours(self, key: str) -> None:
        """Raises ConflictError if a file of another author says what this application is to be."""
        path = self.path(key)
        data = read_trusted(path)
        if data is not None and not data.startswith(MARK.encode()):
            raise ConflictError(
                f"{path} says what {key} is to be, and epmstore did not write it",
                hint="change that file, then run `epmstore app apply`",
                file=str(path),
            )

    def write(self, app: App) -> None:
        """Say that it is to be as it is, where files are written or there is one of ours."""
        path = self.path(app.key)
        if self._writes or path.exists():
            make_directories(self.folder, 0o755)
            data = render_declared(declare(app))
            replace_read(path, data, lambda made: parse_declared(made, app.key, str(path)), 0o644)

    def remove(self, key: str) -> None:
        if self.path(key).exists():
            remove_file(self.path(key))


class Units:
    """Drop-ins below a folder of systemd's; None where this store has nothing to do with it."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def check(self, unit: str) -> None:
        """Raises UsageError if a unit cannot be bound to this store's recovery."""
        if unit and self._folder is None:
            raise UsageError(
                f"{BOOT.format(key='KEY')} is about the store of the system, this is another one",
                hint="leave `unit` out, and write a drop-in of your own that runs"
                " `epmstore recover`",
            )

    def bind(self, app: App, unit: str) -> None:
        """From the next start on, the unit waits for recovery and needs its success."""
        if self._folder is not None:
            path = self._path(self._folder, unit, app)
            make_directories(path.parent, 0o755)
            replace_file(path, _DROP_IN.format(key=app.key).encode(), 0o644)

    def release(self, app: App, unit: str) -> None:
        """It need not wait for this application any more."""
        if self._folder is None:
            return
        path = self._path(self._folder, unit, app)
        if path.exists() and path.read_bytes().startswith(MARK.encode()):
            remove_file(path)

    @staticmethod
    def _path(folder: Path, unit: str, app: App) -> Path:
        return folder / f"{unit}.d" / DROP_IN.format(key=app.key)
