"""Where things lie that are outside of a store, or have a name that others rely on.

The default store of the system has its configuration in /etc; any other store has its own inside
itself, so that stores never meet.
"""

from pathlib import Path
from typing import Final

SYSTEM_STORE: Final = Path("/var/lib/epmstore")
SYSTEM_CONFIG: Final = Path("/etc/epmstore")
SYSTEM_UNITS: Final = Path("/etc/systemd/system")
CONFIG: Final = "config.toml"
APPS: Final = "apps.d"
DAEMON_LOCK: Final = "daemon"
"""The name in `locks/` of the lock that the one daemon of a store holds as long as it runs."""

SYSTEM_SOCKET: Final = Path("/run/epmstore/epmstored.sock")
SOCKET: Final = "epmstored.sock"
CONSOLE_SOCKET: Final = "console.sock"


def socket_path(store: Path) -> Path:
    """Where the daemon of a store listens. May be longer than an address of a Unix socket can be:
    it is reached by a descriptor of its folder.
    """
    return SYSTEM_SOCKET if store == SYSTEM_STORE else store / SOCKET


def console_socket_path(store: Path) -> Path:
    """Where a proxy reaches the console of a store: beside the daemon's socket."""
    return socket_path(store).with_name(CONSOLE_SOCKET)


def config_folder(store: Path) -> Path:
    """The folder of `config.toml` and `apps.d/` of a store."""
    return SYSTEM_CONFIG if store == SYSTEM_STORE else store
