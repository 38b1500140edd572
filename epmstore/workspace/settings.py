"""The settings of a store, read: `config.toml`, variables and flags become one value.

    settings = load_settings(Path("/var/lib/epmstore"), os.environ)
    settings.config.daemon.settle

What these files say is carried out with the rights of the user who runs epmstore, so a file that
others may write, or put there, is refused.
"""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from epmstore.atomic import read_up_to
from epmstore.config import (
    Settings,
    environment_layer,
    file_layer,
    flag_layer,
    merge,
    safe_stores_of,
)
from epmstore.errors import DamagedError, ForeignError, UsageError
from epmstore.owned import is_ours, may_others_write, open_way
from epmstore.places import CONFIG, SYSTEM_CONFIG, config_folder

LIMIT: Final = 1 << 20


def load_settings(
    store: Path,
    environ: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    *,
    folder: Path | None = None,
) -> Settings:
    """The settings in force for the store at `store`; `folder` is where `config.toml` lies.

    Raises UsageError, naming file and key, OSError.
    """
    path = (folder or config_folder(store)) / CONFIG
    data = read_trusted(path)
    is_roots = path == SYSTEM_CONFIG / CONFIG
    file = [] if data is None else [file_layer(data, str(path), names_stores=is_roots)]
    return merge([*file, environment_layer(environ), flag_layer(flags or {})])


class SafeStores:
    """The stores of others that the one who runs this says are safe: root in
    `/etc/epmstore/config.toml`, any other user in `~/.config/epmstore/config.toml`. Never a store
    of itself. Read when it is asked for.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.file = _own_file(environ)

    def __contains__(self, store: object) -> bool:
        """Raises UsageError, naming the file, OSError."""
        return store in self.read()

    def read(self) -> tuple[Path, ...]:
        """All of them. Raises as asking does."""
        data = None if self.file is None else read_trusted(self.file)
        if data is None:
            return ()
        origin = str(self.file)
        if self.file != SYSTEM_CONFIG / CONFIG:
            file_layer(data, origin, sections=(), names_stores=True)
        return tuple(map(Path, safe_stores_of(data, origin)))


def _own_file(environ: Mapping[str, str]) -> Path | None:
    if os.geteuid() == 0:
        return SYSTEM_CONFIG / CONFIG
    home = environ.get("HOME", "")
    base = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return Path(base, "epmstore", CONFIG) if base.startswith("/") and (home or base) else None


def read_trusted(path: Path) -> bytes | None:
    """A file that says what is to be done; None if it is not there. Raises UsageError for one that
    another user could have written, or put there, OSError.
    """
    try:
        fd = open_way(str(path.absolute()), folder=False)
    except (FileNotFoundError, NotADirectoryError):
        _check_leads_somewhere(path)
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise _leads_nowhere(path, path) from None
    except ForeignError as error:
        if not os.path.lexists(path):
            return None
        raise UsageError(
            f"{path} can be changed by others: {error.message}",
            hint=f"{error.hint or 'chown it to root or yourself'}, then look at what it says",
            file=str(path),
        ) from None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{path} is not a regular file", file=str(path))
        if not is_ours(found.st_uid) or may_others_write(found):
            raise UsageError(
                f"{path} can be written by others",
                hint=f"chown it to root or yourself, and chmod go-w {path}",
                file=str(path),
            )
        with os.fdopen(fd, "rb", closefd=False) as file:  # a folder would have none
            return read_up_to(file, path, LIMIT)
    except DamagedError as error:
        raise UsageError(error.message, file=str(path)) from None
    finally:
        os.close(fd)


def _check_leads_somewhere(path: Path) -> None:
    """Raises UsageError for a file that is not there because a link to it, or to a folder on the
    way, leads to nothing: what it says is missing, and must not silently be the default.
    """
    for place in (path, *path.parents):
        if place.is_symlink() and not place.exists():
            raise _leads_nowhere(path, place)


def _leads_nowhere(path: Path, link: Path) -> UsageError:
    return UsageError(
        f"{path} cannot be read: the link {link} leads to nothing",
        hint="put there what it should lead to, or remove it",
        file=str(path),
    )
