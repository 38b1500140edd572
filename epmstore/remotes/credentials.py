"""What this host shows to a server: a key, or a password. Kept in files, and never in settings.

Looked for in the file that a person named; else in what systemd gives (`LoadCredential=`,
`SetCredentialEncrypted=`) under the name `epmstore-remote-NAME`. Nothing of it is ever in a
message.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from epmstore.errors import RemoteDeniedError
from epmstore.remotes.place import RemotePlace

SECRET_MAX: Final = 1 << 16
_GIVEN: Final = "CREDENTIALS_DIRECTORY"
_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP


def credential_name(name: str) -> str:
    """What a remote's secret is called in a unit of systemd."""
    return f"epmstore-remote-{name}"


def credential_file(place: RemotePlace, environ: Mapping[str, str]) -> Path | None:
    """Where the secret for a remote is; None if it was not said."""
    if place.credentials is not None:
        return Path(place.credentials)
    folder = environ.get(_GIVEN)
    if folder and place.name:
        path = Path(folder) / credential_name(place.name)
        if path.exists():
            return path
    return None


def read_secret(path: Path) -> bytes:
    """What a file with a secret says. Raises RemoteDeniedError if it cannot be read, or others can
    read or change it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(fd)
            data = os.read(fd, SECRET_MAX + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise RemoteDeniedError(
            f"{path}: {error.strerror or error}",
            hint="it is to hold what this host shows to the remote",
            file=str(path),
        ) from None
    if not stat.S_ISREG(found.st_mode) or not data.strip() or len(data) > SECRET_MAX:
        raise RemoteDeniedError(f"{path} holds no key and no password", file=str(path))
    if found.st_mode & _OTHERS:
        raise RemoteDeniedError(
            f"{path} can be read or changed by others: it is no secret",
            hint=f"chmod 600 {path}",
            file=str(path),
        )
    return data
