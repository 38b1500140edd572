"""What systemd is told: sd_notify(3) is one datagram to a socket that the environment names."""

import socket
from collections.abc import Mapping


class Notifier:
    """Says nothing where no one is to be told, and never raises: it must not be what ends the
    daemon.
    """

    def __init__(self, address: str | None, watchdog: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self.interval = None if watchdog is None or not address else watchdog / 2
        """Seconds between two signs of life, None if none are wanted."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> "Notifier":
        wanted = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        microseconds = environ.get("WATCHDOG_USEC", "") if wanted else ""
        watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() else None
        return cls(environ.get("NOTIFY_SOCKET"), watchdog or None)

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        self._send(f"STATUS={text}")

    def reloading(self, monotonic: float) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic * 1e6)}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(text.replace("\0", " ").encode(errors="replace"), self._address)
        except OSError:
            return
