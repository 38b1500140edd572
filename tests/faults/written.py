"""A host that has written one of everything that is read again; and how a mutant of it is made to
vouch for itself, or nothing behind its digest would ever be looked at.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from pysequoia import Tsk

from epmstore import codec, fsio, seal
from epmstore.catalog import appcat
from epmstore.catalog.format import decode_line
from epmstore.catalog.hooks import Hooks
from epmstore.catalog.model import NO_HEAD, VersionPart
from epmstore.checkout import obligations as owed_file
from epmstore.checkout.planfile import encode_plan
from epmstore.cli.output import encode
from epmstore.clock import FixedClock
from epmstore.refcat import trust
from epmstore.refcat.signature import make_signature
from epmstore.refcat.trust import Trust, TrustRecord
from epmstore.store import identity
from epmstore.tree import tree_sum
from epmstore.workspace import Workspace
from epmstore.workspace.declared import declare, render_declared
from epmstored import pauses
from epmstored.app_state import Pause
from tests.kit.vendors import CRM, Vendor
from tests.refcat.test_founding import SKETCH

CONFIG: Final = b"""\
[daemon]
settle = "2s"
reconcile = "off"
log = "json"
metrics = true
[store]
max_size = '10 GiB'
[retention]
keep_last = 3
[care]
fsck_percent = "3%"
"""


class World:
    """A host with one of everything. `interim` are files that are there only while a command runs,
    by the ending of their names.
    """

    def __init__(self, place: Path) -> None:
        self.place, self.root, self.clock = place, place / "root", FixedClock()
        vendor = Vendor(place)
        for number in range(3):
            vendor.release({"bin/a": b"%d" % number * 99, "etc/c": b"c"}, f"1.{number}")
        self.store, self.vendor = vendor.path, vendor
        self._fill()
        secret = Tsk.generate("V <v@example.org>")
        self.key = bytes(secret.extract_certificate())
        self.signed = b"signed"
        self.signature = make_signature(self.signed, bytes(secret))
        self.interim: dict[str, bytes] = {}
        with vendor.open() as ws:
            self._record(ws)
        self.uuid = self.app.uuid

    def _fill(self) -> None:
        for folder in ("bin", "etc", "data", "lib"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "bin/a").write_bytes(b"1" * 99)
        (self.root / "etc/c").write_bytes(b"edited")
        (self.root / "data/d").write_bytes(b"state")
        (self.root / "link").symlink_to("bin/a")
        os.link(self.root / "bin/a", self.root / "bin/b")

    def _record(self, ws: Workspace) -> None:
        hooks = Hooks(
            stop=("true",), start=("true",), health=("true",), timeout=5.0, health_timeout=1.0
        )
        ws.apps.add("crm", self.root, state=["data/"], config=["etc/"], ignore=["*.tmp"])
        ws.apps.set("crm", hooks=hooks)
        (self.place / "crm.refcat").write_bytes(b"".join(ws.catalogs.export("crm")))
        ws.catalogs.import_(self.place / "crm.refcat", allow_unsigned=True)
        handle = ws.app("crm")
        handle.snapshot("first")
        (self.root / "bin/a").write_bytes(b"local" * 99)
        (self.root / "new").write_bytes(b"new")
        handle.snapshot("second")
        handle.verify()
        handle.explanations()
        live = self.store / f"live/{handle.app.uuid}"
        self.survey, self.explained = (
            live.with_suffix(kind).read_bytes() for kind in (".survey", ".explained")
        )
        (self.root / os.fsdecode(b"lib/\xff")).write_bytes(b"?")
        handle.snapshot("third")
        self.report = handle.report("host")
        self.plan = handle.plan("0")
        handle.change_begin("a change")
        self._keep()
        handle.change_end()
        with self._watched():
            handle.run(["true", "\udcff"], "a run")
            handle.checkout("0")
        ws.care.drill("crm")
        ws.care.reckon()
        self.app = ws.apps.get("crm")
        pauses.save(self.store, {self.app.uuid: Pause("2026-01-01T00:00:00Z", "me")})
        Trust(self.store).add(self.key, only=["crm"])

    @contextlib.contextmanager
    def _watched(self) -> Any:
        """Keep what is in `journals/` for as long as a command runs."""
        fsio.install_fault(lambda call, arguments: self._keep())
        try:
            yield
        finally:
            fsio.install_fault(None)

    def _keep(self) -> None:
        for path in (self.store / "journals").iterdir():
            if data := path.read_bytes():
                self.interim[path.suffix] = max(data, self.interim.get(path.suffix, b""), key=len)


# How a mutant is made to vouch for itself.


def sealed_lines(data: bytes) -> bytes:
    """Each line in a seal of its own, as in catalogs and journals."""
    found = b""
    for line in data.splitlines(keepends=True):
        body = codec.compress(line)
        found += seal.seal(seal.RecordKind.LINE, body, number=len(line)) + body
    return found


def plain_lines(data: bytes) -> bytes:
    """The inverse of `sealed_lines`."""
    found, at = b"", 0
    while at < len(data):
        record, body = seal.read(data, at)
        found += codec.decompress(body, record.number)
        at = record.end
    return found


def chained(data: bytes) -> bytes:
    """Plain lines as a catalog is stored."""
    return sealed_lines(in_chain(data))


def in_chain(data: bytes) -> bytes:
    """Plain lines, each with the place and the hash that it should have."""
    head, found = NO_HEAD, b""
    for seq, line in enumerate(data.splitlines(keepends=True)):
        with contextlib.suppress(ValueError, RecursionError):
            said = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            said |= {"seq": msgspec.Raw(b"%d" % seq), "prev": msgspec.Raw(b'"%s"' % head.encode())}
            line = _with_sum(msgspec.json.encode(said) + b"\n")
        head = hashlib.sha256(line).hexdigest()
        found += line
    return found


def _with_sum(line: bytes) -> bytes:
    """The first version of a catalog is a tree, and says its sum."""
    with contextlib.suppress(Exception):
        part = decode_line(line)[1]
        if isinstance(part, VersionPart) and part.header.version == 0:
            said = json.loads(line) | {"tree": f"{tree_sum(part.entries):064x}"}
            return json.dumps(said).encode() + b"\n"
    return line


def summed(data: bytes) -> bytes:
    """FORMAT and care.json."""
    try:
        document = json.loads(data)
        return json.dumps({**document, "sum": identity._sum(document)}).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return data


def owed(data: bytes) -> bytes:
    """What a checkout owes: a digest over the rest, with its keys in order."""
    try:
        document = msgspec.json.decode(data, type=dict[str, Any])
        document.pop("sha256", None)
        return msgspec.json.encode({"sha256": owed_file._digest(document), **document})
    except (ValueError, RecursionError, TypeError, OverflowError):
        return data


def standing(data: bytes) -> bytes:
    """What is known of a refcat: a digest over the whole, with zeros in its place."""
    with contextlib.suppress(ValueError, RecursionError):
        found = msgspec.json.decode(data, type=TrustRecord)
        return msgspec.json.encode(msgspec.structs.replace(found, sha256=trust._digest(found)))
    return data


def limited(data: bytes) -> bytes:
    """The same of a key that vouches for some catalogs alone."""
    with contextlib.suppress(ValueError, RecursionError):
        found = msgspec.json.decode(data, type=trust._Limited)
        return msgspec.json.encode(msgspec.structs.replace(found, sha256=trust._sum_of(found)))
    return data


def headed(data: bytes) -> bytes:
    """The appcat: the digest stands in a fixed place."""
    start = len(appcat._HEAD)
    if not data.startswith(appcat._HEAD):
        return data
    zeroed = data[:start] + appcat._ZEROS + data[start + 64 :]
    return data[:start] + hashlib.sha256(zeroed).hexdigest().encode() + data[start + 64 :]


def led(data: bytes) -> bytes:
    """Survey and explanations: the digest stands before the rest."""
    return hashlib.sha256(data[32:]).digest() + data[32:]


# The files, for the command line.


class Planted(NamedTuple):
    """A file of a store by its path below that, or one that is named to a command."""

    path: str
    example: bytes
    dress: Callable[[bytes], bytes] = bytes
    commands: tuple[tuple[str, ...], ...] = ()


COMMANDS: Final = (
    *(("log",), ("log", "-v"), ("status",), ("verify",), ("fsck",), ("fsck", "--read-data")),
    *(("rebuild",), ("snapshot",), ("checkout", "0", "--dry-run"), ("checkout", "0"), ("undo",)),
    *(("recover",), ("rollback",), ("gc",), ("gc", "--dry-run"), ("doctor",), ("app", "list")),
    *(
        ("app", "show", "crm"),
        ("release", "list", "crm"),
        ("catalog", "export", "crm"),
        ("report",),
    ),
    *(("blame", "bin/a"), ("diff", "0..latest"), ("forget", "--keep-last", "1", "--yes")),
    *(("stats",), ("config", "show"), ("fsck", "--repair"), ("catalog", "trust"), ("drill",)),
    *(("hold", "crm"), ("unhold", "crm"), ("ls", "0"), ("cat", "0:bin/a"), ("find", "bin/a")),
    *(
        ("change", "end"),
        ("repair", "--dry-run"),
        ("store", "copy", "copied"),
        ("history", "bin/a"),
    ),
    *(("app", "apply"), ("app", "move", "crm", "."), ("daemon", "status"), ("confirm",)),
)
"""Every way to look at a store, and some to change it."""


def planted(world: World) -> dict[str, Planted]:
    store, uuid = world.store, world.uuid
    journal, refcat = world.interim[".journal"], f"catalogs/{CRM}.refcat.zst"
    syscat, live = f"catalogs/{uuid}.syscat.zst", f"live/{uuid}.sqlite"

    def read(path: str) -> bytes:
        return (store / path).read_bytes()

    def lines(path: str) -> bytes:
        return plain_lines(read(path))

    files = [
        Planted("FORMAT", read("FORMAT"), summed),
        Planted("catalogs/appcat.json", read("catalogs/appcat.json"), headed),
        Planted(syscat, lines(syscat), chained),
        Planted(refcat, lines(refcat), chained),
        Planted("index.sqlite", read("index.sqlite")),
        Planted(live, read(live)),
        Planted("care.json", read("care.json"), summed),
        Planted("clock.json", read("clock.json")),
        Planted("paused.json", read("paused.json")),
        Planted(f"trust/{CRM}.json", read(f"trust/{CRM}.json"), standing),
        Planted(f"journals/{uuid}.journal", plain_lines(journal), sealed_lines),
        Planted(f"journals/{uuid}.owed", world.interim[".owed"], owed),
        Planted(f"journals/{uuid}.run", world.interim[".run"]),
        Planted(f"journals/{uuid}.change", world.interim[".change"]),
        Planted("config.toml", CONFIG),
        Planted("apps.d/crm.toml", render_declared(declare(world.app))),
        Planted(f"live/{uuid}.survey", world.survey, led),
        Planted(f"live/{uuid}.explained", world.explained, led),
        Planted("+plan", encode_plan(world.plan), commands=(("apply",),)),
        Planted("+report.json", encode(world.report).encode(), commands=(("report", "read"),)),
        Planted("+key", world.key, commands=(("catalog", "trust"),)),
        Planted("+founding", SKETCH.encode(), commands=(("catalog", "convert"),)),
        Planted(
            "+crm.refcat",
            lines(refcat),
            in_chain,
            commands=(("catalog", "import", "--allow-unsigned"),),
        ),
    ]
    return {one.path.replace(uuid, "crm"): one for one in files}
