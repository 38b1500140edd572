"""Which applications have settings that last for a while only, and until when the first of them.

`journals/<app>.lasting` spares the daemon, which looks each few seconds, and each command from
reading the history of every application. The history says what is set; where this file is lost or
damaged, that is looked at.
"""

from collections.abc import Sequence

import msgspec

from epmstore.atomic import read_file, remove_file, replace_read
from epmstore.catalog.model import Lasting, Parameters
from epmstore.checkout.obligations import Moment, elapsed
from epmstore.errors import DamagedError
from epmstore.store.store import Store

SUFFIX = ".lasting"
_LIMIT = 1 << 20


class TemporaryMark:
    """That of one application (UUID). The holder of the app's lock writes it."""

    def __init__(self, store: Store, app: str) -> None:
        self._path = store.journals / f"{app}{SUFFIX}"

    def note(self, lasting: Sequence[Lasting]) -> None:
        """Before anything is set: as soon as it is, this says so. Raises OSError."""
        if lasting:
            self.set([*self._load(), *lasting])

    def set(self, lasting: Sequence[Lasting]) -> None:
        """Just these are in force. Raises OSError."""
        if lasting:
            replace_read(self._path, msgspec.json.encode(list(lasting)), _parse)
        else:
            remove_file(self._path)

    def is_due(self, now: Moment) -> bool:
        """Whether the time of one may be over."""
        if not self._path.exists():
            return False
        lasting = self._load()
        return not lasting or any(left(one, now) <= 0 for one in lasting)

    def _load(self) -> list[Lasting]:
        try:
            return _parse(read_file(self._path, _LIMIT))
        except (DamagedError, OSError):
            return []


def lasting(said: Parameters | None) -> list[Lasting]:
    """Of what is set, what does not last. Pure."""
    return [one.lasts for one in (said or Parameters()).settings if one.lasts is not None]


def left(lasts: Lasting, now: Moment) -> float:
    """Seconds until something is over. Pure."""
    since = Moment(wall=lasts.wall, boot=lasts.boot, uptime=lasts.uptime)
    return lasts.seconds - elapsed(since, now)


def _parse(data: bytes) -> list[Lasting]:
    """Raises DamagedError."""
    try:
        return msgspec.json.decode(data, type=list[Lasting])
    except ValueError as error:
        raise DamagedError(f"it is not what was written: {error}") from None
