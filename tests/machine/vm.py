"""A virtual machine: started, asked, rebooted, and cut off from its power.

qemu emulates it (no KVM), a dozen times slower than the host; whoever waits, waits long. Its disk
is a `Drive`; a power cut is SIGKILL for qemu and then the drive's own.
"""

import json
import os
import random
import select
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.machine.drive import Drive, Lost, Platter
from tests.machine.image import Image

PATIENCE: Final = float(os.environ.get("EPM_MACHINE_PATIENCE", "600"))
"""Seconds after which a boot or a command is hung."""
MEMORY: Final = 768
CORES: Final = int(os.environ.get("EPM_MACHINE_CORES", "2"))
KERNEL: Final = "console=ttyS0 quiet no_timer_check panic=-1 mitigations=off systemd.show_status=0"


class Done(NamedTuple):
    """What a command in the machine came to."""

    code: int
    out: str
    err: str


class Hung(AssertionError):
    """The machine did not do in time what it was to do; has the end of its console."""


class Vm:
    """A machine with a disk of its own, off until `start`."""

    def __init__(
        self, image: Image, folder: Path, *, payload: Path, platter: Platter | None = None
    ) -> None:
        """`folder` is for its sockets and console; their paths must be short."""
        self._image, self._folder, self._payload = image, folder, payload
        folder.mkdir(parents=True, exist_ok=True)
        self.drive = Drive(image.disk, folder / "disk.sock", platter)
        self.serial = folder / "serial.log"
        self.serial.touch()
        self.boots: list[str] = []
        self._qemu: subprocess.Popen[bytes] | None = None
        self._asked = 0
        self._answers: dict[int, Done] = {}

    def start(self, *, clock: str | None = None, wait: bool = True) -> None:
        """Power on; `wait`: until the agent speaks. `clock` is what the hardware's says: a date, as
        2000-01-01T00:00:00. Raises Hung.
        """
        assert self._qemu is None, "is on"
        line = self._folder / "line.sock"
        line.unlink(missing_ok=True)
        with (self._folder / "qemu.log").open("ab") as log:
            self._qemu = subprocess.Popen(
                self._command(line, clock), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._line = _connect(line, self._qemu)
        self._unread = b""
        if wait:
            self.wait()

    def wait(self, timeout: float = PATIENCE) -> str:
        """Until the agent speaks; the id of this boot."""
        heard = len(self.boots)
        self._listen(timeout, lambda: len(self.boots) > heard, "no word of the agent")
        return self.boots[-1]

    def cut(self, rng: random.Random) -> Lost:
        """The plug is pulled."""
        assert self._qemu is not None, "is off"
        self._qemu.kill()
        self._gone()
        return self.drive.cut(rng)

    def reboot(self, *, clock: str | None = None) -> None:
        """As a person asks for it, who waits until it is up again."""
        self.ask("systemctl", "--no-block", "reboot")
        self._end()
        self.start(clock=clock)

    def off(self) -> None:
        """Shut down, as a person does it."""
        self.ask("systemctl", "--no-block", "poweroff")
        self._end()

    def close(self) -> None:
        """Whatever it does."""
        if self._qemu is not None:
            self._qemu.kill()
            self._gone()
        self.drive.close()

    def console(self) -> str:
        """What the first serial line said, of all boots."""
        return self.serial.read_text(errors="replace")

    # Commands.

    def ask(self, *words: str, timeout: float = PATIENCE) -> int:
        """Begin a command; `answer` has what came of it."""
        self._asked += 1
        asked = {"id": self._asked, "words": words, "timeout": timeout}
        self._line.sendall(json.dumps(asked).encode() + b"\n")
        return self._asked

    def answer(self, number: int, timeout: float = PATIENCE) -> Done:
        """Raises Hung."""
        self._listen(timeout, lambda: number in self._answers, f"no answer to {number}")
        return self._answers.pop(number)

    def is_answered(self, number: int, within: float) -> bool:
        """Whether it came to an end, after so many seconds at most."""
        try:
            self._listen(within, lambda: number in self._answers, "")
        except Hung:
            return False
        return True

    def run(self, *words: str, check: bool = True, timeout: float = PATIENCE) -> Done:
        """A command, by root."""
        done = self.answer(self.ask(*words, timeout=timeout), timeout + 60)
        assert not check or done.code == 0, (words, done)
        return done

    def sh(self, script: str, *words: str, check: bool = True) -> str:
        """What a script of the shell prints."""
        return self.run("sh", "-c", script, "sh", *words, check=check).out

    def write(self, path: str, text: str) -> None:
        self.sh('mkdir -p "$(dirname "$1")"; printf %s "$2" > "$1"', path, text)

    def epmstore(self, *words: str, check: bool = True) -> list[dict[str, Any]]:
        """What our program, run by root for the system's store, prints as JSON."""
        done = self.run("epmstore", *words, "--json", check=check)
        return [json.loads(line) for line in done.out.splitlines()]

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        out = self.run("systemctl", "show", unit, *(f"--property={name}" for name in names)).out
        return dict(line.split("=", 1) for line in out.splitlines())

    def until(self, *words: str, timeout: float = PATIENCE) -> None:
        """Until a command succeeds, tried again and again in the machine. Raises Hung."""
        loop = 'until "$@" >/dev/null 2>&1; do sleep 0.5; done'
        if not self.is_answered(number := self.ask("sh", "-c", loop, "sh", *words), timeout):
            raise Hung(f"not in time: {words}\n{self._said()}")
        self.answer(number)

    # The process.

    def _command(self, line: Path, clock: str | None) -> list[str]:
        image = self._image
        disk = f"driver=nbd,node-name=disk,server.type=unix,server.path={self.drive.path}"
        sizes = "logical_block_size=4096,physical_block_size=4096"
        return [
            *("setpriv", "--pdeathsig", "KILL", "nice", "-n", "5"),
            *("qemu-system-x86_64", "-nodefaults", "-no-reboot"),
            *("-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,la57=off"),
            *("-m", str(MEMORY), "-smp", str(CORES), "-display", "none", "-monitor", "none"),
            *("-chardev", f"file,id=console,append=on,path={self.serial}"),
            *("-serial", "chardev:console"),
            *("-serial", f"unix:{line},server=on,wait=off"),
            *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
            *("-append", KERNEL),
            *("-blockdev", disk, "-device", f"virtio-blk-pci,drive=disk,write-cache=on,{sizes}"),
            *("-blockdev", f"driver=file,node-name=load,read-only=on,filename={self._payload}"),
            *("-device", f"virtio-blk-pci,drive=load,{sizes}"),
            *("-object", "rng-random,id=rng,filename=/dev/urandom"),
            *("-device", "virtio-rng-pci,rng=rng"),
            *(("-rtc", f"base={clock}") if clock else ()),
        ]

    def _end(self) -> None:
        """Until it has switched itself off. Raises Hung."""
        assert self._qemu is not None, "is off"
        try:
            self._qemu.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Hung(f"does not end\n{self._said()}") from None
        self._gone()
        # What a machine wrote that went down in peace gets to the disk.
        self.drive.flush()

    def _gone(self) -> None:
        assert self._qemu is not None
        self._qemu.wait(60)
        self._qemu = None
        self._line.close()
        self._answers = {}

    def _listen(self, timeout: float, holds: Callable[[], bool], what: str) -> None:
        """Takes in what the agent says until that holds. Raises Hung."""
        end = time.monotonic() + timeout
        while not holds():
            left = end - time.monotonic()
            if left <= 0:
                raise Hung(f"{what}\n{self._said()}")
            if not select.select([self._line], [], [], left)[0]:
                continue
            data = self._line.recv(1 << 16)
            if not data:
                raise Hung(f"{what}: the machine is off\n{self._said()}")
            *lines, self._unread = (self._unread + data).split(b"\n")
            for text in lines:
                self._take_in(text)

    def _take_in(self, text: bytes) -> None:
        said = json.loads(text)
        if "hello" in said:
            self.boots.append(said["hello"])
        else:
            self._answers[said["id"]] = Done(said["code"], said["out"], said["err"])

    def _said(self) -> str:
        log = (self._folder / "qemu.log").read_text()
        return self.console()[-2000:] + log[-500:]


def _connect(path: Path, process: subprocess.Popen[bytes]) -> socket.socket:
    end = time.monotonic() + 60
    while True:
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(str(path))
            return line
        except OSError:
            line.close()
            if process.poll() is not None or time.monotonic() > end:
                raise Hung(f"qemu does not run: {process.poll()}") from None
            time.sleep(0.05)
