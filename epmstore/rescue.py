"""epmstore-rescue: brings recorded files back from a store without epmstore and without its index.

One file, Python 3.11 and `zstandard`; copy it anywhere and run `python3 rescue.py --help`. It is
the last resort, and a second implementation of docs/formats: nothing here is shared with the rest
of epmstore. It only reads the store, and writes below one new folder.

Everything is checked: seals, the chain of catalog lines, the sum of the tree, SHA-256 and SHA-1 of
each content. What is damaged is stepped over and named; other copies are tried. Paths that could
lead out of the target are refused, symlinks are made when all files are written.

Exit codes: 0 all there, 2 usage, 3 in part (what is missing is named), 4 failed, 5 not found, 6
damaged, 7 the store is another user's.
"""

from __future__ import annotations

import argparse
import base64
import bisect
import collections
import contextlib
import errno
import hashlib
import json
import os
import struct
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

import zstandard

SEAL = struct.Struct("<II4sc3sQQ32s")
MAGIC, MARK = 0x184D2A5E, b"EPM1"
BEGINS = struct.pack("<I", MAGIC)
KINDS = b"SPDRFTL"
WINDOW = 1 << 27
DELTA_WINDOW = 1 << 31
LARGEST_FRAME = 1 << 30
"""Plain bytes that are decoded at once, at most; writers stay far below."""
CACHE = 256 << 20
READ = os.O_RDONLY | os.O_NONBLOCK  # a FIFO in the place of a file must not wait for a writer
HOLE = 4096
SECTOR = 4096
NOT_STORED = ("state", "secret")
"""Classes of paths without content: named, and nothing is lost."""


class Trouble(Exception):
    """What ends the program, with its exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Damage(Exception):
    """Bytes are not what was written."""


# Records: a seal, a head, a body.


NO_SENSE = (LookupError, TypeError, ArithmeticError, ValueError, AttributeError, RecursionError)
"""What reading sound bytes raises that say something else than they should."""


class Record(NamedTuple):
    at: int
    kind: bytes
    head: bytes
    body: bytes
    number: int
    sha256: bytes

    @property
    def end(self) -> int:
        return self.at + SEAL.size + len(self.head) + len(self.body)


def read_at(fd: int, length: int, at: int) -> bytes:
    """Sectors that the disk cannot read any more are zeros: damage, as no seal holds over them."""
    try:
        return os.pread(fd, length, at)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    pieces, end = [], at + length
    while at < end:
        until = min(end, at - at % SECTOR + SECTOR)
        try:
            pieces.append(os.pread(fd, until - at, at))
        except OSError:
            pieces.append(bytes(until - at))
        at = until
    return b"".join(pieces)


def read_record(fd: int, at: int, size: int) -> Record:
    fixed = read_at(fd, SEAL.size, at)
    if len(fixed) < SEAL.size:
        raise Damage(f"the record at byte {at} ends early")
    magic, follow, mark, kind, zero, length, number, sha256 = SEAL.unpack(fixed)
    if magic != MAGIC or mark != MARK or zero != bytes(3) or kind not in KINDS or follow < 56:
        raise Damage(f"no record at byte {at}")
    head_length = follow - 56
    if at + SEAL.size + head_length + length > size:
        raise Damage(f"the record at byte {at} ends early")
    rest = read_at(fd, head_length + length, at + SEAL.size)
    if hashlib.sha256(fixed[:32] + rest).digest() != sha256:
        raise Damage(f"the record at byte {at} is damaged")
    return Record(at, kind, rest[:head_length], rest[head_length:], number, sha256)


def walk(fd: int, size: int) -> Iterator[Record]:
    """Every sound record of a file; between them bytes are passed over until one begins again."""
    at = 0
    while at < size:
        try:
            found = read_record(fd, at, size)
        except Damage:
            at = next_mark(fd, at + 1, size)
            continue
        yield found
        at = found.end


def next_mark(fd: int, at: int, size: int) -> int:
    while at < size:
        window = read_at(fd, 1 << 20, at)
        found = window.find(BEGINS)
        if found >= 0:
            return at + found
        if len(window) < 4:
            break
        at += max(1, len(window) - 3)
    return size


def unzip(frame: bytes, size: int, base: bytes | None = None) -> bytes:
    """Exactly `size` bytes of one zstd frame; memory is taken only when the frame says the same."""
    try:
        stated = zstandard.get_frame_parameters(frame).content_size
        if stated != size or size > LARGEST_FRAME:
            raise Damage(f"a frame states {stated} bytes, {size} were recorded")
        if base is None or len(base) < 8:
            unpack = zstandard.ZstdDecompressor(max_window_size=WINDOW)
        else:
            prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            unpack = zstandard.ZstdDecompressor(dict_data=prefix, max_window_size=DELTA_WINDOW)
        data = unpack.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Damage(str(error)) from None
    if len(data) != size:
        raise Damage(f"a frame holds {len(data)} bytes, {size} were recorded")
    return data


def varints(data: bytes) -> list[int]:
    found, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(number)
            number = shift = 0
    if shift:
        raise Damage("a head is cut short")
    return found


# Contents.


class Place(NamedTuple):
    """Where a content lies: the record at `at` of `file`, then a stretch of its plain bytes (of a
    delta frame, of its body); or in parts.
    """

    file: str
    at: int
    offset: int
    length: int
    size: int
    base: bytes | None
    parts: tuple[bytes, ...]


class Contents:
    """Everything in all packs, by SHA-256; what no table lists is identified by reading it."""

    def __init__(self, store: str) -> None:
        self._packs = os.path.join(store, "packs")
        self._places: dict[bytes, list[Place]] = collections.defaultdict(list)
        self._files: dict[str, int] = {}
        self._cache: collections.OrderedDict[tuple[str, int], bytes] = collections.OrderedDict()
        self._cached = 0
        self._lost: list[tuple[str, Record]] = []
        for file in pack_files(self._packs):
            try:
                self._scan(file)
            except OSError as error:
                say(f"packs/{file}: cannot be read: {error.strerror}")
        for file, record in self._lost:
            self._salvage(file, record)
        for file, record in self._lost:
            self._salvage_deltas(file, record)

    def close(self) -> None:
        while self._files:
            os.close(self._files.popitem()[1])

    def whole(self) -> list[tuple[bytes, int]]:
        """(SHA-256, size) of everything that is not only a part of something."""
        parts = {part for found in self._places.values() for place in found for part in place.parts}
        return [(key, found[0].size) for key, found in self._places.items() if key not in parts]

    def read(self, sha256: bytes, size: int) -> bytes:
        """A content or part that is at most `LARGEST_FRAME` long. Raises KeyError, Damage."""
        return b"".join(self.stream(sha256, size))

    def stream(self, sha256: bytes, size: int) -> Iterator[bytes]:
        """In pieces; the last one comes only if all were right. Raises KeyError, Damage."""
        places = self._places.get(sha256)
        if not places:
            raise KeyError(sha256.hex())
        problem: Exception | None = None
        handed_out = False
        for place in sorted(places, key=lambda one: one.base is not None):
            try:
                if place.parts:
                    for piece in self._joined(sha256, place):
                        handed_out = True
                        yield piece
                    return
                data = self._piece(place)
            except (Damage, KeyError, OSError) as error:
                if handed_out:
                    raise Damage(str(error)) from None
                problem = error
                continue
            if len(data) == size and hashlib.sha256(data).digest() == sha256:
                yield data
                return
            problem = Damage("a content does not match its SHA-256")
        raise Damage(str(problem))

    def _joined(self, sha256: bytes, place: Place) -> Iterator[bytes]:
        """Parts are all looked for first: nothing has been handed out when one is not there."""
        sizes = [self._places[part][0].size if part in self._places else -1 for part in place.parts]
        if min(sizes) < 0 or sum(sizes) != place.size:
            raise Damage("a part of a large content is missing")
        if any(one.parts for part in place.parts for one in self._places[part]):
            raise Damage("a part has parts")
        whole, last = hashlib.sha256(), b""
        for number, (part, size) in enumerate(zip(place.parts, sizes, strict=True)):
            if number:
                yield last
            last = self.read(part, size)
            whole.update(last)
        if whole.digest() != sha256:
            raise Damage("a large content does not match its SHA-256")
        yield last

    def _piece(self, place: Place) -> bytes:
        data = self._plain(place.file, place.at)[place.offset : place.offset + place.length]
        if place.base is None:
            return data
        for base in self._places.get(place.base, ()):
            if base.base is None and not base.parts:
                plain = self._piece(base)
                if hashlib.sha256(plain).digest() == place.base:
                    return unzip(data, place.size, plain)
        raise Damage("the base of a delta is missing")

    def _plain(self, file: str, at: int) -> bytes:
        """What a frame holds; of a delta frame its body."""
        known = self._cache.get((file, at))
        if known is not None:
            self._cache.move_to_end((file, at))
            return known
        fd = self._open(file)
        record = read_record(fd, at, os.fstat(fd).st_size)
        data = record.body if record.kind in b"RD" else unzip(record.body, record.number)
        self._cache[file, at] = data
        self._cached += len(data)
        while self._cached > CACHE and len(self._cache) > 1:
            self._cached -= len(self._cache.popitem(last=False)[1])
        return data

    def _open(self, file: str) -> int:
        if file not in self._files:
            if len(self._files) >= 100:
                os.close(self._files.pop(next(iter(self._files))))
            self._files[file] = os.open(os.path.join(self._packs, file), READ)
        return self._files[file]

    def _scan(self, file: str) -> None:
        """Enter what the tables of a file list; frames that none lists are kept for later."""
        fd = self._open(file)
        pending: list[Record] = []
        for record in walk(fd, os.fstat(fd).st_size):
            if record.kind in b"SRPD":
                pending.append(record._replace(body=b""))
            elif record.kind == b"F":
                try:
                    start = self._enter(file, record)
                except (Damage, *NO_SENSE) as error:
                    say(f"packs/{file}: the table at byte {record.at} cannot be read: {error}")
                    continue
                self._lost += [(file, one) for one in pending if one.at < start]
                pending = []
        self._lost += [(file, record) for record in pending]

    def _enter(self, file: str, record: Record) -> int:
        """Where the frames begin that a table lists: a log has several, and one may be lost."""
        table = json.loads(unzip(record.body, record.number))
        if table["format"] != 1:
            raise Damage(f"format {table['format']}")
        frames, blobs = table["frames"], table["blobs"]
        ends = [o + SEAL.size + h + b for o, h, b in columns(frames, "offset", "head", "body")]
        start = record.at - max(ends, default=0)
        rows = columns(blobs, "size", "frame", "offset", "length")
        for row, (size, frame, offset, length) in enumerate(rows):
            sha256 = bytes.fromhex(blobs["sha256"][row * 64 : row * 64 + 64])
            if frame < 0:
                text = table["parts"][str(row)]
                parts = [bytes.fromhex(text[at : at + 64]) for at in range(0, len(text), 64)]
                place = Place(file, 0, 0, 0, size, None, tuple(parts))
            else:
                base = table["base"].get(str(row))
                at = start + frames["offset"][frame]
                known = None if base is None else bytes.fromhex(base)
                place = Place(file, at, offset, length, size, known, ())
            self._places[sha256].append(place)
        return start

    def _salvage(self, file: str, record: Record) -> None:
        """Frames whose table is lost: their heads say how they come apart."""
        if record.kind == b"D":
            return
        try:
            plain = self._plain(file, record.at)
            sizes = varints(record.head) or [len(plain)]
        except (Damage, OSError):
            return
        offset = 0
        for size in sizes:
            sha256 = hashlib.sha256(plain[offset : offset + size]).digest()
            self._places[sha256].append(Place(file, record.at, offset, size, size, None, ()))
            offset += size

    def _salvage_deltas(self, file: str, record: Record) -> None:
        if record.kind != b"D":
            return
        known = sorted(self._places)
        at = offset = 0
        while at < len(record.head):
            end = at
            for _ in range(2):  # two varints
                while end < len(record.head) and record.head[end] >= 0x80:
                    end += 1
                end += 1
            length, size = varints(record.head[at:end])
            prefix = record.head[end : end + 8]
            at = end + 8
            first = bisect.bisect_left(known, prefix)
            for base in known[first:]:
                if not base.startswith(prefix):
                    break
                place = Place(file, record.at, offset, length, size, base, ())
                try:
                    sha256 = hashlib.sha256(self._piece(place)).digest()
                except (Damage, OSError):
                    continue
                self._places[sha256].append(place)
            offset += length


def columns(table: dict[str, Any], *names: str) -> Iterator[tuple[int, ...]]:
    """Rows of numbers that may be places and lengths in a file. Raises Damage for others."""
    found = [table[name] for name in names]
    if not all(type(n) is int and -1 <= n < 1 << 62 for column in found for n in column):
        raise Damage("it has places that are none")
    return zip(*found, strict=True)


def pack_files(packs: str) -> list[str]:
    found = []
    for folder in sorted(os.listdir(packs)):
        if os.path.isdir(os.path.join(packs, folder)):
            names = sorted(os.listdir(os.path.join(packs, folder)))
            found += [f"{folder}/{name}" for name in names if not name.startswith(".")]
    return found


# Paths: bytes here, text in catalogs.


def path_from_json(text: str) -> bytes:
    """Raises Damage for what could lead out of a folder."""
    raw = text_from_json(text)
    parts = raw.split(b"/")
    if len(raw) > 4096 or b"\0" in raw or any(p in (b"", b".", b"..") for p in parts):
        raise Damage(f"{text!r} is not a path below a root")
    if max(map(len, parts)) > 255:
        raise Damage(f"{text!r} has a name of more than 255 bytes")
    return raw


def text_from_json(text: str) -> bytes:
    return unquote_to_bytes(text[2:]) if text.startswith("//") else text.encode()


def text_to_json(raw: bytes, *, is_path: bool = False) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "//" + quote_from_bytes(raw, safe="/")
    if text.startswith("//") and not is_path:
        return "//" + quote_from_bytes(raw, safe="/")
    return text


# Catalogs.


class Entry(NamedTuple):
    kind: str
    mode: int
    uid: int
    gid: int
    user: str | None
    group: str | None
    mtime_ns: int | None
    content: tuple[str, str, int] | None
    """(SHA-1, SHA-256, size)"""
    target: bytes | None
    xattrs: tuple[tuple[bytes, bytes], ...]
    same_as: bytes | None
    sparse: bool
    path_class: str


class Version(NamedTuple):
    number: int
    time: str
    kind: str
    label: str | None


class History:
    """A catalog, folded up to a version. Every record vouches for itself: what is damaged is
    stepped over and named in `problems`, what is sound behind it is read. Whether the tree of a
    version lacks anything is told by its sum.
    """

    def __init__(self, path: str, until: int | None = None) -> None:
        self.versions: list[Version] = []
        self.forgotten: set[int] = set()
        self.purged: set[str] = set()
        self.tags: dict[str, int] = {}
        self.gaps: list[str] = []
        self.tree: dict[bytes, Entry] = {}
        self.sum_is_right = until is None
        self.problems: list[str] = []
        self._name = os.path.basename(path)
        self._until = until
        self._run: list[dict[str, Any]] = []
        fd = os.open(path, READ)
        try:
            self._read(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def _read(self, fd: int, size: int) -> None:
        at, before, number = 0, "0" * 64, 0
        for record in walk(fd, size):
            if record.at != at:
                self._problem(f"bytes {at} to {record.at} are damaged")
            at = record.end
            try:
                plain, line = self._line(record)
                if line["prev"] != before or line["seq"] != number:
                    self._problem(f"the line at byte {record.at} does not follow the one before it")
                before, number = hashlib.sha256(plain).hexdigest(), line["seq"] + 1
                self._take(line)
            except Damage as error:
                self._problem(str(error))
            except NO_SENSE as error:
                self._problem(f"no sense in the line at byte {record.at}: {error!r}")
        if at < size or not size:
            what = f"from byte {at} on it is damaged, or was cut short" if size else "it is empty"
            self._problem(what)
        self._end_run()

    def _line(self, record: Record) -> tuple[bytes, dict[str, Any]]:
        if record.kind != b"L":
            raise Damage(f"the record at byte {record.at} is no catalog line")
        plain = unzip(record.body, record.number)
        line = json.loads(plain)
        if line.get("format", 1) != 1:
            raise Damage(f"the line at byte {record.at} is of format {line['format']}")
        return plain, line

    def _problem(self, text: str) -> None:
        self.problems.append(f"{self._name}: {text}")

    def _take(self, line: dict[str, Any]) -> None:
        kind = line["type"]
        if kind == "version":
            self._take_part(line)
        elif kind == "forget":
            self.forgotten.update(line["versions"])
        elif kind == "unforget":
            self.forgotten.difference_update(line["versions"])
        elif kind == "purge" and (line.get("sha256") or line.get("digest")):
            self.purged.add(line.get("sha256") or line["digest"])
        elif kind == "tag":
            self.tags.pop(line["name"], None)
            if line.get("version") is not None:
                self.tags[line["name"]] = line["version"]
        elif kind == "label":
            self._label(line)
        elif kind == "gap" and line.get("first") is not None:
            self.gaps.append(f"versions {line['first']} to {line['last']} were lost once")

    def _take_part(self, line: dict[str, Any]) -> None:
        """One line of a version, which counts when the last one is there."""
        part, parts, number = line.get("part", 1), line.get("parts", 1), line["version"]
        if type(number) is not int:
            raise Damage(f"{number!r} is no number of a version")
        if part == 1:
            self._end_run()
            if self.versions and number <= self.versions[-1].number:
                raise Damage(f"version {number} behind {self.versions[-1].number}")
        elif not self._run or (number, part) != (self._run[0]["version"], len(self._run) + 1):
            self._end_run()
            raise Damage(f"part {part} of version {number} is alone")
        self._run.append(line)
        if part == parts:
            run, self._run = self._run, []
            self._take_version(run)

    def _end_run(self) -> None:
        if self._run:
            self._problem(f"version {self._run[0]['version']} is not complete")
            self._run = []

    def _label(self, line: dict[str, Any]) -> None:
        at = [one.number for one in self.versions].index(line["version"])
        old = self.versions[at]
        label = "; ".join(filter(None, [old.label, line.get("label")])) or None
        new = old._replace(kind=line.get("kind", "change"), label=label)
        self.versions[at] = new

    def _take_version(self, run: list[dict[str, Any]]) -> None:
        first = run[0]
        number = first["version"]
        found = Version(number, first["time"], first["kind"], first.get("label"))
        self.versions.append(found)
        if self._until is None or number > self._until:
            return
        for line in run:
            self._apply(line)
        if number == self._until:
            total = sum(entry_sum(path, entry) for path, entry in self.tree.items())
            self.sum_is_right = f"{total % (1 << 256):064x}" == first["tree"]

    def _apply(self, line: dict[str, Any]) -> None:
        tree = self.tree
        come = dict(entries(line))
        gone = [path_from_json(text) for text in line.get("removed") or ()]
        known = {*map(path_from_json, line.get("meta") or ()), *gone}
        if not (self.problems or self.gaps or known <= tree.keys()):
            raise Damage(f"version {line['version']} speaks of what is not there before it")
        for text, facts in (line.get("meta") or {}).items():
            path = path_from_json(text)
            before = tree.get(path)  # it may be lost with a line before: the sum will tell
            come[path] = read_facts("file", facts, line, before and before.content)
        for path in gone:
            tree.pop(path, None)
        tree.update(come)


def entries(line: dict[str, Any]) -> Iterator[tuple[bytes, Entry]]:
    """What one line says in full."""
    blobs = line.get("blobs") or {}
    for digest, paths in (line.get("components") or {}).items():
        shown = (digest, blobs[digest]["sha256"], blobs[digest]["size"])
        if isinstance(paths, list):
            paths = {path: {} for path in paths}
        for text, facts in paths.items():
            own = shown
            if facts.get("sha256") is not None:
                own = (digest, facts["sha256"], facts["size"])
            yield path_from_json(text), read_facts("file", facts, line, own)
    for section, kind in (("links", "symlink"), ("directories", "directory"), ("states", "state")):
        for text, facts in (line.get(section) or {}).items():
            yield path_from_json(text), read_facts(kind, facts, line, None)


def read_facts(section: str, facts: dict[str, Any], line: dict[str, Any], content: Any) -> Entry:
    defaults = line.get("defaults") or {}
    modes = {"symlink": "0777", "directory": "0755"}
    mode = facts.get("mode") or modes.get(section) or defaults.get("mode") or "0644"
    mtime_ns = defaults.get("mtime_ns") if section in ("file", "symlink") else None
    xattrs = facts.get("xattrs") or {}
    target, same_as = facts.get("target"), facts.get("same_as")
    return Entry(
        kind="file" if section == "state" else section,
        mode=int(mode, 8),
        uid=facts.get("uid", defaults.get("uid", 0)),
        gid=facts.get("gid", defaults.get("gid", 0)),
        user=facts.get("user", defaults.get("user")),
        group=facts.get("group", defaults.get("group")),
        mtime_ns=facts.get("mtime_ns", mtime_ns),
        content=content,
        target=None if target is None else text_from_json(target),
        xattrs=tuple((text_from_json(n), base64.b64decode(v)) for n, v in xattrs.items()),
        same_as=None if same_as is None else path_from_json(same_as),
        sparse=bool(facts.get("sparse")),
        path_class=facts.get("class") or ("state" if section == "state" else "program"),
    )


def entry_sum(path: bytes, entry: Entry) -> int:
    form = [
        text_to_json(path, is_path=True), entry.kind, entry.mode, entry.uid, entry.gid, entry.user,
        entry.group, entry.mtime_ns, entry.content[1] if entry.content else None,
        None if entry.target is None else text_to_json(entry.target),
        [[text_to_json(name), value.hex()] for name, value in entry.xattrs],
        None if entry.same_as is None else text_to_json(entry.same_as, is_path=True), entry.sparse,
    ]  # fmt: skip
    text = json.dumps(form, ensure_ascii=False, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


# Writing out.


class Writer:
    """Writes a tree below one new folder; `missing` is what could not be written, and why."""

    def __init__(self, contents: Contents, purged: set[str], target: str) -> None:
        self.missing: list[tuple[bytes, str]] = []
        self.files = 0
        self._contents = contents
        self._purged = purged
        os.makedirs(target, 0o700, exist_ok=True)
        if os.listdir(target):
            raise Trouble(2, f"{target} is not empty: name a folder that is not there yet")
        self._top = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)

    def write(self, tree: dict[bytes, Entry]) -> None:
        check_tree(tree)
        paths = sorted(tree)
        folders = {parent for path in paths for parent in parents(path)}
        folders.update(path for path in paths if tree[path].kind == "directory")
        for path in sorted(folders):
            with self._named(path), self._parent(path) as (parent, name):
                os.mkdir(name, 0o700, dir_fd=parent)
        written: dict[bytes, bytes] = {}
        for path in paths:
            if tree[path].kind == "file":
                with self._named(path):
                    self._file(path, tree[path], written)
        for path in paths:
            if tree[path].kind == "symlink":
                self._symlink(path, tree[path])
        made = folders & tree.keys() - {path for path, _ in self.missing}
        for path in sorted(made, reverse=True):
            fd = self._open(path)
            self._dress(fd, path, tree[path])
            os.close(fd)

    def _file(self, path: bytes, entry: Entry, written: dict[bytes, bytes]) -> None:
        leader = written.get(entry.same_as or b"")
        if leader is None or not self._link(leader, path):
            why = self._absent(entry) or self._write(path, entry)
            if why is not None:
                self.missing.append((path, why))
                return
            written[entry.same_as or path] = path
        self.files += 1

    def _link(self, leader: bytes, path: bytes) -> bool:
        """Where the file system has no hard links, each name gets a file of its own."""
        try:
            with self._parent(leader) as (source, old), self._parent(path) as (parent, name):
                os.link(old, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _absent(self, entry: Entry) -> str | None:
        if entry.content is None:
            return f"{entry.path_class}: no content was recorded"
        if entry.path_class == "secret":
            return "secret: its content was never stored"
        is_purged = not self._purged.isdisjoint(entry.content[:2])
        return "its content was purged" if is_purged else None

    def _write(self, path: bytes, entry: Entry) -> str | None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with self._parent(path) as (parent, name):
                fd = os.open(name, flags, 0o600, dir_fd=parent)
                try:
                    self._fill(fd, path, entry)
                except BaseException:
                    os.unlink(name, dir_fd=parent)
                    raise
                finally:
                    os.close(fd)
        except (KeyError, Damage) as error:
            return "not stored" if isinstance(error, KeyError) else f"damaged: {error}"
        return None

    def _fill(self, fd: int, path: bytes, entry: Entry) -> None:
        assert entry.content is not None
        sha1, sha256, size = entry.content
        check = hashlib.sha1()
        for piece in self._contents.stream(bytes.fromhex(sha256), size):
            check.update(piece)
            pour(fd, piece, entry.sparse)
        if check.hexdigest() != sha1:
            raise Damage("it does not match its SHA-1")
        os.ftruncate(fd, size)
        self._dress(fd, path, entry)

    def _symlink(self, path: bytes, entry: Entry) -> None:
        assert entry.target is not None
        with self._named(path), self._parent(path) as (parent, name):
            os.symlink(entry.target, name, dir_fd=parent)
            with said(path):
                if os.geteuid() == 0:
                    os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
                if entry.mtime_ns is not None:
                    times = (entry.mtime_ns, entry.mtime_ns)
                    os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)

    def _dress(self, fd: int, path: bytes, entry: Entry) -> None:
        """Owner first, because it clears setuid; that and setgid only with the right owner."""
        mode = entry.mode if os.geteuid() == 0 else entry.mode & 0o1777
        try:
            if os.geteuid() == 0:
                os.fchown(fd, entry.uid, entry.gid)
            for name, value in entry.xattrs:
                with said(path, f"{shown(name)}: "):
                    os.setxattr(fd, name, value)
        except OSError as error:
            say(f"{shown(path)}: owner: {error.strerror}")
            mode &= 0o1777
        with said(path):
            os.fchmod(fd, mode)
            if entry.mtime_ns is not None:
                os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))

    @contextlib.contextmanager
    def _named(self, path: bytes) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.missing.append((path, f"cannot be written: {error.strerror}"))

    @contextlib.contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        folder, _, name = path.rpartition(b"/")
        fd = self._open(folder)
        try:
            yield fd, name
        finally:
            os.close(fd)

    def _open(self, folder: bytes) -> int:
        """A folder below the target, step by step, through no symlink."""
        fd = os.dup(self._top)
        for name in folder.split(b"/") if folder else ():
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            try:
                below = os.open(name, flags, dir_fd=fd)
            finally:
                os.close(fd)
            fd = below
        return fd


@contextlib.contextmanager
def said(path: bytes, what: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        say(f"{shown(path)}: {what}{error.strerror}")


def check_tree(tree: dict[bytes, Entry]) -> None:
    """Raises Trouble if something lies below what is no folder."""
    for path in tree:
        for parent in parents(path):
            if parent in tree and tree[parent].kind != "directory":
                raise Trouble(6, f"{shown(path)} lies below {shown(parent)}, which is no folder")


def parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:number]) for number in range(1, len(parts))]


def pour(fd: int, data: bytes, sparse: bool) -> None:
    """Write; of a sparse file, blocks of zeros are left out."""
    view = memoryview(data)
    while view:
        if sparse and not any(view[:HOLE]):
            os.lseek(fd, len(view[:HOLE]), os.SEEK_CUR)
            view = view[HOLE:]
        else:
            view = view[os.write(fd, view[:HOLE] if sparse else view) :]


# The command line.


def check_owner(store: str, believed: int | None) -> None:
    """What a store says gets owners and modes with our rights: it is believed only if it is ours,
    root's, or a user's who was named.
    """
    trusted = {0, os.geteuid(), believed}
    places = [store, *(os.path.join(store, name) for name in ("packs", "packs/log", "catalogs"))]
    with contextlib.suppress(FileNotFoundError):
        places += [entry.path for entry in os.scandir(places[-1])]
    for place in places:
        try:
            fd = os.open(place, READ)
        except FileNotFoundError:
            continue
        try:
            found = os.fstat(fd)
        finally:
            os.close(fd)
        if found.st_uid not in trusted:
            raise Trouble(
                7,
                f"{place} belongs to the user {found.st_uid}: run it as that user, or with"
                f" --owner {found.st_uid} if whatever that user may have written is to be believed",
            )
        if found.st_mode & 0o002:
            raise Trouble(7, f"everybody may write {place}: chmod o-w, and mind what is in it")


def apps(store: str) -> dict[str, str]:
    """UUID to key of everything that has a catalog."""
    catalogs = os.path.join(store, "catalogs")
    end = ".syscat.zst"
    found = [name.removesuffix(end) for name in sorted(os.listdir(catalogs)) if name.endswith(end)]
    try:
        name = os.path.join(catalogs, "appcat.json")
        with open(name, "rb", opener=lambda path, _: os.open(path, READ)) as file:
            keys = {app["uuid"]: plain(app["key"]) for app in json.load(file)["apps"]}
    except (OSError, *NO_SENSE) as error:
        say(f"appcat.json cannot be read ({error}): applications are named by UUID")
        keys = {}
    return {uuid: keys.get(uuid, uuid) for uuid in found}


def open_history(store: str, app: str, until: int | None = None) -> History:
    known = apps(store)
    for uuid, key in known.items():
        if app in (uuid, key):
            path = os.path.join(store, "catalogs", f"{uuid}.syscat.zst")
            return History(path, until)
    there = ", ".join(known.values()) or "none; `contents` writes out every content, by its SHA-1"
    raise Trouble(5, f"no history of an application {app!r}; there are: {there}")


def list_apps(options: argparse.Namespace) -> int:
    for uuid, key in apps(options.store).items():
        print(f"{key}\t{uuid}")
    return 0


def list_versions(options: argparse.Namespace) -> int:
    history = open_history(options.store, options.app)
    tagged = collections.defaultdict(list)
    for name, number in history.tags.items():
        tagged[number].append(name)
    for found in history.versions:
        state = "forgotten" if found.number in history.forgotten else found.kind
        names = "".join(f" [{plain(name)}]" for name in tagged[found.number])
        label = plain(found.label or "")
        print(f"{found.number}\t{plain(found.time)}\t{plain(state)}\t{label}{names}")
    return report(history)


def extract(options: argparse.Namespace) -> int:
    history = open_history(options.store, options.app)
    wanted = find_version(history, options.version)
    history = open_history(options.store, options.app, wanted)
    if not history.sum_is_right:
        report(history)
        say(f"the tree of version {wanted} does not have the recorded sum")
        if not options.anyway:
            raise Trouble(6, "it may be wrong; --anyway writes it out nevertheless")
    tree = {path: e for path, e in history.tree.items() if is_within(path, options.paths)}
    if options.paths and not tree:
        raise Trouble(5, f"no such path in version {wanted}")
    with contextlib.closing(Contents(options.store)) as contents:
        writer = Writer(contents, history.purged, options.target)
        writer.write(tree)
    hollow = {path for path, entry in tree.items() if entry.path_class in NOT_STORED}
    lost = [path for path, _ in writer.missing if path not in hollow]
    for path, why in writer.missing:
        say(f"{'left out' if path in hollow else 'not restored'}: {shown(path)}: {why}")
    print(f"version {wanted}: {writer.files} files, {len(lost)} not restored")
    return 3 if report(history) or lost or not history.sum_is_right else 0


def find_version(history: History, text: str) -> int:
    numbers = [found.number for found in history.versions]
    if text == "latest" and numbers:
        return numbers[-1]
    if history.tags.get(text) in numbers:
        return history.tags[text]
    if text.isdigit() and int(text) in numbers:
        return int(text)
    span = f"{numbers[0]} to {numbers[-1]}" if numbers else "none"
    hint = "" if numbers else "; `contents` writes out every content, by its SHA-1"
    code = 6 if report(history) else 5
    raise Trouble(code, f"no version {text}; there are: {span}{hint}")


def is_within(path: bytes, scope: list[str]) -> bool:
    tops = [os.fsencode(top).strip(b"/") for top in scope]
    return not tops or any(path == top or path.startswith(top + b"/") for top in tops)


def report(history: History) -> int:
    for text in history.gaps:
        say(text)
    for text in history.problems:
        say(f"{text}; what is behind it is read, and may lack what was lost")
    return 3 if history.problems else 0


def write_contents(options: argparse.Namespace) -> int:
    """Every content of the packs, whether or not a catalog still names it."""
    os.makedirs(options.target, 0o700, exist_ok=True)
    if os.listdir(options.target):
        raise Trouble(2, f"{options.target} is not empty: name a folder that is not there yet")
    written, lost = 0, 0
    with contextlib.closing(Contents(options.store)) as contents:
        for sha256, size in contents.whole():
            try:
                write_content(contents, sha256, size, options.target)
                written += 1
            except (Damage, KeyError, OSError) as error:
                lost += 1
                say(f"the content with the SHA-256 {sha256.hex()} cannot be written: {error}")
    print(f"{written} contents, {lost} damaged")
    return 3 if lost else 0


def write_content(contents: Contents, sha256: bytes, size: int, target: str) -> None:
    """In a folder by its first two digits, under its SHA-1. Raises KeyError, Damage, OSError."""
    aside = os.path.join(target, "unfinished")
    check = hashlib.sha1()
    try:
        with open(aside, "wb") as file:
            for piece in contents.stream(sha256, size):
                check.update(piece)
                file.write(piece)
        sha1 = check.hexdigest()
        path = os.path.join(target, sha1[:2], sha1)
        if os.path.exists(path):  # another content with this SHA-1
            path += f"-{sha256.hex()}"
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        os.rename(aside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)


def shown(raw: bytes) -> str:
    """For people: control characters of hostile names do nothing on a terminal."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain(value: object) -> str:
    """The same for what a line says, text or not."""
    return shown(str(value).encode("utf-8", "surrogatepass"))


def say(text: str) -> None:
    print(text, file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="epmstore-rescue",
        description="Bring recorded files back from a store without epmstore and without its index."
        " The store is only read.",
    )
    made.add_argument("--owner", type=int, metavar="UID", help="believe a store of this user")
    commands = made.add_subparsers(dest="command", required=True)
    one = commands.add_parser("apps", help="list the applications of a store")
    one.add_argument("store")
    one.set_defaults(run=list_apps)
    one = commands.add_parser("log", help="list the versions of an application, oldest first")
    one.add_argument("store")
    one.add_argument("app", help="key or UUID")
    one.set_defaults(run=list_versions)
    one = commands.add_parser("extract", help="write a version, or some paths of it, to a folder")
    one.add_argument("store")
    one.add_argument("app", help="key or UUID")
    one.add_argument("version", help="number, tag or `latest`")
    one.add_argument("target", help="a folder that is empty or not there yet")
    one.add_argument("paths", nargs="*", help="only these, and what is below them")
    one.add_argument("--anyway", action="store_true", help="even if the tree has a wrong sum")
    one.set_defaults(run=extract)
    one = commands.add_parser("contents", help="write every content that is stored, by its SHA-1")
    one.add_argument("store")
    one.add_argument("target", help="a folder that is empty or not there yet")
    one.set_defaults(run=write_contents)
    return made


def main(arguments: list[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    options = parser().parse_args(arguments)
    os.umask(os.umask(0o077) & 0o077)  # what is made here has to be opened again by its owner
    try:
        check_owner(options.store, options.owner)
        code: int = options.run(options)
    except Trouble as trouble:
        say(f"epmstore-rescue: {trouble}")
        return trouble.code
    except OSError as error:
        say(f"epmstore-rescue: {error}")
        return 5 if isinstance(error, FileNotFoundError) else 4
    return code


if __name__ == "__main__":
    sys.exit(main())
