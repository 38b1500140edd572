"""Where the store is, and where we are: what the environment says of places."""

import os
from pathlib import Path

from epmstore.errors import UsageError
from epmstore.places import SYSTEM_STORE

STORE = "EPMSTORE_STORE"


def find_store(option: str | None) -> tuple[Path, str]:
    """Where the store is, and who says so: `--store`, a variable, or the default."""
    if option is not None:
        return _absolute(option, "--store"), "--store"
    named = os.environ.get(STORE)
    if named is not None:
        return _absolute(named, STORE), STORE
    if os.geteuid() == 0:
        return SYSTEM_STORE, "default"
    data = os.environ.get("XDG_DATA_HOME")
    if data:
        if not data.startswith("/"):
            raise UsageError(f"XDG_DATA_HOME is not an absolute path: {data!r}")
        return Path(data, "epmstore"), "default"
    home = os.environ.get("HOME")
    if not home or not home.startswith("/"):
        raise UsageError("there is no home directory", hint=f"name the store: --store or {STORE}")
    return Path(home, ".local/share/epmstore"), "default"


def _absolute(text: str, origin: str) -> Path:
    if not text or "\0" in text:
        raise UsageError(f"{origin} does not name a directory: {text!r}")
    return Path(os.path.abspath(text))


def working_directory() -> Path | None:
    """None if it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None
