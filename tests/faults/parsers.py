"""Everything that reads what somebody may have written or damaged: each parser with an example that
the program itself wrote, and how to call it.

What carries a digest of itself is given a right one for each mutant (`dress`), or nothing behind
the digest would ever be looked at. Where there are two implementations, both read.
"""

import contextlib
import io
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from urllib.parse import parse_qsl

import msgspec

from epmstore import codec, rescue, seal
from epmstore.blobs import footer, packlog, records
from epmstore.blobs.salvage import scan_frames
from epmstore.care import ledger, references
from epmstore.catalog import appcat
from epmstore.catalog.classes import Patterns, Rules
from epmstore.catalog.format import decode_line, encode_line, position_behind
from epmstore.catalog.history import CatalogFile
from epmstore.catalog.hooks import hooks_of, unit_of
from epmstore.catalog.model import START, VersionPart
from epmstore.catalog.salvage import CatalogSalvage
from epmstore.catalog.selector import parse_selector
from epmstore.checkout.journal import Journal
from epmstore.checkout.obligations import OwedFile, moment, seconds_left
from epmstore.checkout.planfile import decode_plan, encode_plan
from epmstore.cli import daemon_client, moments
from epmstore.cli.output import Output, encode
from epmstore.cli.report import text as report_text
from epmstore.clock import from_rfc3339
from epmstore.config import file_layer, format_value, merge, safe_stores_of
from epmstore.digest import parse_address
from epmstore.errorform import error_from_form, error_to_form
from epmstore.errors import BusyError, EpmError
from epmstore.index.stat_cache import StatCache
from epmstore.measures import parse_duration, parse_percent, parse_size
from epmstore.record import change
from epmstore.refcat import explain_versions, packaging_form, strict
from epmstore.refcat.founding import read_founding
from epmstore.refcat.report import read_written
from epmstore.refcat.signature import check_signature, read_key
from epmstore.refcat.survey_cache import Memory
from epmstore.refcat.trust import Trust
from epmstore.relpath import from_json, text_from_json
from epmstore.scan.compare import newest_ns
from epmstore.store import identity, reckoned, staging
from epmstore.store.store import TRUST
from epmstore.tree import tree_sum
from epmstore.workspace import shapes
from epmstore.workspace.declared import declare, parse_declared, render_declared
from epmstored import pauses, systemd_jobs
from epmstored.api import forms
from tests.catalog.test_format import FACTS
from tests.faults.written import (
    CONFIG,
    World,
    chained,
    headed,
    led,
    limited,
    owed,
    plain_lines,
    sealed_lines,
    standing,
    summed,
)
from tests.kit.vendors import CRM
from tests.refcat.test_founding import SKETCH, SPREAD
from tests.refcat.test_packaging import EVERYTHING

Read = Callable[[bytes], object]


class Parser(NamedTuple):
    example: bytes
    read: Read
    dress: Callable[[bytes], bytes] = bytes
    """What makes a mutant vouch for itself."""
    share: int = 1
    """One of so many mutants is tried: of what is slow."""


class Table:
    """The parsers of one world, by name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._opened = world.vendor.open()
        self._store = self._opened._store
        self.parsers: dict[str, Parser] = {
            **self._texts(),
            **self._catalogs(),
            **self._journals(),
            **self._packs(),
            **self._small_files(),
            **self._caches(),
            **self._index(),
            **self._of_vendors(),
            **self._of_the_daemon(),
        }

    def _file(self, path: str | Path, read: Callable[[], object]) -> Read:
        """A parser of a file that has its place."""

        def replaced(data: bytes) -> None:
            where = self.world.store / path
            before = where.read_bytes() if where.exists() else None
            where.write_bytes(data)
            there = sorted(where.parent.iterdir())
            try:
                read()
            finally:
                assert where.read_bytes() == data, "reading changed the file"
                assert sorted(where.parent.iterdir()) == there, "reading left something"
                where.write_bytes(before) if before is not None else where.unlink()

        return replaced

    def _bytes(self, path: str | Path) -> bytes:
        return (self.world.store / path).read_bytes()

    def _texts(self) -> dict[str, Parser]:
        declared = render_declared(declare(self.world.app))
        words = "117,latest~1,@2026-10-03T14:00,release:41,2h,1.5 GiB,3%,50d,bin/a,yesterday 14:00"
        return {
            "settings": Parser(CONFIG, _settings),
            "declaration": Parser(declared, _declaration),
            "words": Parser(words.encode(), _words),
            "founding": Parser(SPREAD.encode(), _founding),
            "founding, sketched": Parser(SKETCH.encode(), _founding),
            "package": Parser(EVERYTHING, _package),
        }

    def _catalogs(self) -> dict[str, Parser]:
        uuid = self.world.uuid
        history, refcat = f"catalogs/{uuid}.syscat.zst", f"catalogs/{CRM}.refcat.zst"
        catalog = CatalogFile(self.world.store / history)
        whole = self._bytes(history)
        plain = plain_lines(whole)

        def read() -> None:
            with contextlib.suppress(EpmError):
                list(catalog.read())
            with contextlib.suppress(EpmError):
                catalog.tail()
            CatalogSalvage(catalog.path)

        def rescued() -> None:
            self._rescue("log", "crm")

        return {
            "line": Parser(_longest(plain), _line),
            "line of facts": Parser(_facts(), _lines),
            "line of a vendor": Parser(
                _longest(plain_lines(self._bytes(refcat))), strict.read_line
            ),
            "catalog": Parser(whole, self._file(history, read)),
            "catalog, chained": Parser(plain, self._file(history, read), chained),
            "catalog, rescued": Parser(plain, self._file(history, rescued), chained),
            "appcat": Parser(self._bytes("catalogs/appcat.json"), _appcat, headed),
            "appcat, rescued": Parser(
                self._bytes("catalogs/appcat.json"),
                self._file("catalogs/appcat.json", lambda: self._rescue("apps")),
            ),
        }

    def _journals(self) -> dict[str, Parser]:
        store, uuid, interim = self.world.store, self.world.uuid, self.world.interim
        name = f"journals/{uuid}.journal"

        def read() -> None:
            list(staging.named_stages(store / "journals"))
            references.named_in(store / name)
            Journal(store / name).load()

        def pay() -> None:
            found = OwedFile(store / f"journals/{uuid}.owed").load()
            if found is not None:
                seconds_left(found, moment(self.world.clock))

        whole = interim[".journal"]
        return {
            "journal": Parser(whole, self._file(name, read)),
            "journal, lines": Parser(plain_lines(whole), self._file(name, read), sealed_lines),
            "owed": Parser(interim[".owed"], self._file(f"journals/{uuid}.owed", pay), owed),
            "change": Parser(
                interim[".change"],
                self._file(f"journals/{uuid}.change", lambda: change.find(self._store, uuid)),
            ),
            "run": Parser(
                interim[".run"],
                self._file(f"journals/{uuid}.run", lambda: change.find_run(self._store, uuid)),
            ),
            "plan": Parser(encode_plan(self.world.plan), _plan),
        }

    def _rescue(self, command: str, *words: str) -> None:
        out = io.TextIOWrapper(io.BytesIO())
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = rescue.main([command, str(self.world.store), *words])
        assert code in (0, 2, 3, 4, 5, 6), code

    def _packs(self) -> dict[str, Parser]:
        packs = [p for p in (self.world.store / "packs").rglob("*") if p.is_file()]
        path = max(packs, key=lambda p: p.stat().st_size)
        whole = path.read_bytes()
        fd = os.open(path, os.O_RDONLY)
        try:
            table = next(
                found
                for found in records.walk(fd)
                if isinstance(found, records.SealedRecord)
                and found.seal.kind is seal.RecordKind.FOOTER
            )
        finally:
            os.close(fd)

        def read() -> None:
            fd = os.open(path, os.O_RDONLY)
            try:
                packlog.read_groups(fd)
            finally:
                os.close(fd)
                scan_frames(path)
                with contextlib.suppress(EpmError):
                    records.load_group(path)

        def rescued() -> None:
            target = self.world.place / "contents"
            self._rescue("contents", str(target))
            shutil.rmtree(target)

        def with_table(data: bytes) -> bytes:
            body = codec.compress(data)
            sealed = seal.seal(seal.RecordKind.FOOTER, body, number=len(data)) + body
            return whole[: table.seal.offset] + sealed

        said = codec.decompress(table.body, table.seal.number)
        return {
            "pack": Parser(whole, self._file(path, read)),
            "pack, rescued": Parser(whole, self._file(path, rescued), share=5),
            "pack, its table": Parser(said, self._file(path, read), with_table),
            "pack, its table rescued": Parser(said, self._file(path, rescued), with_table, 2),
            "table": Parser(said, _table),
        }

    def _small_files(self) -> dict[str, Parser]:
        store = self.world.store
        keys = Trust(store)
        only = next((store / TRUST).glob("*.only"))

        def clock() -> None:
            shapes.clock(reckoned.reckon(self._store))

        def care() -> None:
            for one in ledger.load(store).proofs.values():
                from_rfc3339(one.time)

        return {
            "FORMAT": Parser(
                self._bytes("FORMAT"),
                self._file("FORMAT", lambda: identity.read(store).uuid.encode()),
                summed,
            ),
            "care": Parser(self._bytes("care.json"), self._file("care.json", care), summed),
            "clock": Parser(self._bytes("clock.json"), self._file("clock.json", clock), share=5),
            "paused": Parser(
                self._bytes("paused.json"), self._file("paused.json", lambda: pauses.load(store))
            ),
            "standing": Parser(
                self._bytes(f"trust/{CRM}.json"),
                self._file(f"trust/{CRM}.json", lambda: keys.record(CRM)),
                standing,
            ),
            "limited key": Parser(only.read_bytes(), self._file(only, keys.keys), limited, 3),
            "key": Parser(self.world.key, self._file("trust/a.asc", keys.keys), share=3),
            "signature": Parser(self.world.signature, self._check_signature),
        }

    def _check_signature(self, data: bytes) -> None:
        check_signature(self.world.signed, data, [read_key(self.world.key)], self.world.clock.now())

    def _caches(self) -> dict[str, Parser]:
        store, uuid = self.world.store, self.world.uuid
        live = f"live/{uuid}.sqlite"
        with contextlib.closing(sqlite3.connect(store / live)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("PRAGMA journal_mode=DELETE")
        cache = StatCache(store / live, "boot", newest_ns)

        def look() -> None:
            cache.load()
            cache.load([b"", b"bin"])

        return {
            "stat cache": Parser(self._bytes(live), self._file(live, look)),
            "stat cache, said": Parser(_saved(store / live), self._said(store / live, look)),
            "survey": Parser(
                self.world.survey,
                self._file(
                    f"live/{uuid}.survey", lambda: Memory(store / f"live/{uuid}.survey").load(())
                ),
                led,
            ),
            "explained": Parser(self.world.explained, _explained, led),
        }

    def _index(self) -> dict[str, Parser]:
        """Values of a sound index that say something else."""
        uuid = self.world.uuid
        values = {
            "index, meta": "UPDATE metas SET form = ? WHERE id = 1",
            "index, record": "UPDATE records SET form = ? WHERE app = 1 AND version = 0",
            "index, purge": "UPDATE records SET form = ?, type = 'purge' WHERE app = 1 AND seq = 2",
            "index, note": f"UPDATE store SET value = ? WHERE key = 'seen:{uuid}'",
        }

        def look() -> None:
            store = self._store
            for read in (
                *(
                    lambda: list(store.entries.tree(uuid, 0)),
                    lambda: list(store.entries.tree(CRM, 1)),
                ),
                *(store.contents.purged, lambda: store.notes.seen(uuid)),
                *(self._opened.app("crm").versions, lambda: self._opened.app("crm").diff("0", "1")),
            ):
                with contextlib.suppress(EpmError):
                    read()

        return {name: self._row(statement, look) for name, statement in values.items()}

    def _row(self, statement: str, look: Callable[[], None]) -> Parser:
        path = self.world.store / "index.sqlite"
        table, column = statement.split()[1], statement.split()[3]
        where = statement[statement.index(" WHERE") :]
        with contextlib.closing(sqlite3.connect(path)) as db:
            old = db.execute(f"SELECT * FROM {table}{where}").fetchone()
            example = db.execute(f"SELECT {column} FROM {table}{where}").fetchone()[0]
            again = f"INSERT OR REPLACE INTO {table} VALUES ({','.join('?' * len(old))})"

        def read(data: bytes) -> None:
            with contextlib.closing(sqlite3.connect(path)) as db, db:
                db.execute(statement, (data,))
            try:
                look()
            finally:
                with contextlib.closing(sqlite3.connect(path)) as db, db:
                    db.execute(again, old)

        return Parser(bytes(example), read, share=3)

    def _said(self, path: Path, look: Callable[[], None]) -> Read:
        """A parser of what is in a row of a sound database."""
        whole = path.read_bytes()

        def replaced(data: bytes) -> None:
            with contextlib.closing(sqlite3.connect(path)) as db, db:
                db.execute("UPDATE state SET form = ?", (data,))
            try:
                look()
            finally:
                path.write_bytes(whole)

        return replaced

    def _of_vendors(self) -> dict[str, Parser]:
        return {"report": Parser((encode(self.world.report) + "\n").encode(), self._read_report)}

    def _read_report(self, data: bytes) -> None:
        form = read_written(data)
        report_text(Output(as_json=False, quiet=False, verbose=True), form)
        with contextlib.suppress(EpmError):
            self._opened.read_report(form).known_here()

    def _of_the_daemon(self) -> dict[str, Parser]:
        result = json.dumps({"type": "result", "app": "crm", "version": 3}).encode()
        error = encode(error_to_form(BusyError("busy", hint="wait", holder="me"))).encode()
        said = self.world.place / "said"

        def last(data: bytes) -> None:
            said.write_bytes(data)
            systemd_jobs._last_object(said, "result")
            found = systemd_jobs._last_object(said, "error")
            if found is not None:
                error_from_form(found, systemd_jobs.SystemdJobError)

        return {
            "body": Parser(BODY, lambda data: forms.read_body(data, cast(Any, forms.JobSpec))),
            "query": Parser(
                b"from=latest~1&to=now&limit=10&after=bin/a&all=true&release=3", _query
            ),
            "answer": Parser(
                b"HTTP/1.0 200 OK\r\nServer: epmstored/1\r\n\r\n" + result, daemon_client._answer
            ),
            "refusal": Parser(b"HTTP/1.0 409 No\r\n\r\n" + error, _refused),
            "events": Parser(
                b"event: version\ndata: " + result + b"\n\n",
                lambda data: list(daemon_client._events(io.BytesIO(data))),
            ),
            "unit": Parser(b"some words\n" + result + b"\n" + error + b"\n", last),
        }


def _line(data: bytes) -> None:
    record = decode_line(data)[1]
    if isinstance(record, VersionPart):
        tree_sum(record.entries)


def _lines(data: bytes) -> None:
    for line in data.splitlines(keepends=True):
        _line(line)


def _settings(data: bytes) -> None:
    with contextlib.suppress(EpmError):
        safe_stores_of(data, "config.toml")
    settings = merge([file_layer(data, "config.toml", names_stores=True)])
    again = "".join(f"{key} = {format_value(settings.config, key)!r}\n" for key in settings.origins)
    assert again


def _declaration(data: bytes) -> None:
    render_declared(parse_declared(data, "crm", "crm.toml"))


WORDS: Final[tuple[Callable[[str], object], ...]] = (
    *(parse_selector, from_rfc3339, parse_duration, parse_size, parse_percent, parse_address),
    *(moments.parse, moments.parse_ahead, moments.selector, from_json, text_from_json),
    *(appcat.check_key, lambda text: Rules(Patterns(ignore=(text,)))),
)


def _words(data: bytes) -> None:
    """As a command line has them: any bytes but zeros, and not too many."""
    for word in data[:10_000].replace(b"\0", b"").split(b","):
        for read in WORDS:
            with contextlib.suppress(EpmError):
                read(os.fsdecode(word))


def _appcat(data: bytes) -> None:
    for app in appcat.parse(data, Path("appcat.json")).apps:
        hooks_of(app)
        unit_of(app)
        Rules(app.patterns)


def _explained(data: bytes) -> None:
    with contextlib.suppress(ValueError, RecursionError):  # as its only caller
        explain_versions._parse(data)


def _plan(data: bytes) -> None:
    encode_plan(decode_plan(data))


def _table(data: bytes) -> None:
    body = codec.compress(data)
    footer.decode(
        seal.parse(seal.seal(seal.RecordKind.FOOTER, body, number=len(data)) + body), body
    )


def _query(data: bytes) -> None:
    pairs = parse_qsl(data.decode(errors="replace"), keep_blank_values=True)
    for kind in (forms.StatusQuery, forms.VersionsQuery, forms.DiffQuery, forms.VerifyQuery):
        fields = {field.encode_name for field in msgspec.structs.fields(kind)}
        with contextlib.suppress(EpmError):
            forms.read_query([pair for pair in pairs if pair[0] in fields], kind)


def _refused(data: bytes) -> None:
    try:
        daemon_client._answer(data)
    except daemon_client.DaemonError as error:
        error_to_form(error)


def _saved(path: Path) -> bytes:
    """What a stat cache says it is valid for."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return bytes(db.execute("SELECT form FROM state").fetchone()[0])


def _longest(plain: bytes) -> bytes:
    return max(plain.splitlines(keepends=True), key=len)


def _facts() -> bytes:
    """One record of each kind."""
    position, found = START, b""
    for fact in FACTS:
        line = encode_line(fact, position)
        position, found = position_behind(position, line, 0), found + line
    return found


def _founding(data: bytes) -> None:
    read_founding(data.decode(errors="replace"))


def _package(data: bytes) -> None:
    found = packaging_form.read(msgspec.Raw(data))
    packaging_form.check(found, CRM)
    packaging_form.check_words(found)


BODY: Final = (
    b'{"kind":"checkout","app":"crm","version":"latest~1","paths":["bin/a"],"exact":true,'
    b'"config":"keep","live":false,"no_hooks":false,"confirm":60.0}'
)
