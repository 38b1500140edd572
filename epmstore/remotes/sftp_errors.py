"""What an SFTP server says, or does instead of saying something, as the errors of remotes."""

import contextlib
from collections.abc import Iterator
from typing import Final

import paramiko

from epmstore.errors import RemoteDeniedError, RemoteError, RemoteTransientError
from epmstore.limits import limit_error

NO_SUCH_FILE: Final = 2
PERMISSION_DENIED: Final = 3
FAILURE: Final = 4
UNSUPPORTED: Final = 8


class StatusError(Exception):
    """A server says by number why it does not do what it was asked for; the connection is whole."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number
        self.text = text


BROKEN: Final = (paramiko.SSHException, paramiko.SFTPError, EOFError, OSError)
"""After any of these a connection is not used again."""


@contextlib.contextmanager
def translated(what: str, where: str) -> Iterator[None]:
    """What goes wrong in the block, with `what` on the server `where`, is an error of a remote."""
    try:
        yield
    except StatusError as error:
        raise _status_error(error, what) from None
    except paramiko.SFTPError as error:
        raise RemoteError(
            f"{where} does not speak SFTP: {error}"[:300],
            hint="is SFTP allowed to this user there? or do start-up files of a shell print text?",
        ) from None
    except TimeoutError:
        raise RemoteTransientError(f"{where} does not answer", object=what) from None
    except (paramiko.SSHException, EOFError) as error:
        text = str(error) or "the connection ended"
        raise RemoteTransientError(f"{where}: {text}"[:300], object=what) from None
    except OSError as error:
        limit = limit_error(error, where)
        if limit is not None:
            raise limit from None
        raise RemoteTransientError(f"{where}: {error.strerror or error}", object=what) from None


def _status_error(error: StatusError, what: str) -> RemoteError:
    text = f"{what}: the server says: {error.text or error.number}"[:300]
    if error.number == PERMISSION_DENIED:
        return RemoteDeniedError(
            text, hint="let this user read and write the folder there", object=what
        )
    return RemoteError(text, object=what)
