"""The settings of a store, read: `config.toml`, variables and flags become one value.

    settings = load_settings(Path("/var/lib/epmstore"), os.environ)
    settings.config.daemon.settle

What these files say is carried out with the rights of whoever runs epmstore, so a file that others
may write is refused.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from epmstore.atomic import read_file
from epmstore.config import Settings, environment_layer, file_layer, flag_layer, merge
from epmstore.errors import UsageError
from epmstore.places import CONFIG, config_folder

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
    file = [] if data is None else [file_layer(data, str(path))]
    return merge([*file, environment_layer(environ), flag_layer(flags or {})])


def read_trusted(path: Path) -> bytes | None:
    """A file that says what is to be done; null if it is not there. Raises UsageError for one that
    somebody else could have written, OSError.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is not a regular file", file=str(path))
    if found.st_uid not in (0, os.geteuid()) or stat.S_IMODE(found.st_mode) & 0o022:
        raise UsageError(
            f"{path} can be written by others",
            hint=f"chown it to root or yourself, and chmod go-w {path}",
            file=str(path),
        )
    return read_file(path, LIMIT)
