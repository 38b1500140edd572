"""Bytes that are nearly what a parser expects: made of a sound example by one to three edits.

Half of the edits know nothing (bits, cuts, copies, junk), half know words: what is a value in JSON,
TOML or a query is exchanged for one that is of another type, far too large, no number, no text, or
nested without end; members are left out, or there twice.
"""

import random
import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

Edit: TypeAlias = Callable[[bytes, random.Random], bytes]

DEEP: Final = 20_000
_WORD = re.compile(rb'"(?:[^"\\]|\\.)*+"|[-+.:\w]+')
_MEMBER = re.compile(
    rb'("(?:[^"\\]|\\.)*+"|(?<!\w)\w++)(\s*+[:=]\s*+)("(?:[^"\\]|\\.)*+"|[-+.\w]++|\[\]|\{\})'
)

NUMBERS: Final = (
    *(b"0", b"-1", b"1", b"2", b"0.5", b"-0.0", b"1e3", b"255", b"65536", b"4294967295"),
    *(str(1 << n).encode() for n in (31, 32, 53, 62, 63, 64, 80, 128)),
    *(str(-(1 << n)).encode() for n in (31, 63, 64, 128)),
    *(b"1e308", b"1e309", b"-1e999", b"1e-400", b"9" * 400, b"9" * 5000, b"0" * 5000),
    *(b"NaN", b"Infinity", b"-Infinity", b"nan", b"inf", b"-inf"),
    *(b"253402300800", b"1e11", b"-62135596801", b"9e15", b"1e18"),
)
TEXTS: Final = (
    *(b"", b".", b"..", b"/", b"//", b"//%", b"//%ff", b"//%00", b"a/../b", b"a//b", b"a\\u0000b"),
    *(
        b"\\ud800",
        b"\\udcff",
        b"\\udfff\\ud800",
        b"\\ud83d",
        b"\xff",
        b"\xed\xa0\x80",
        b"\\x",
        b"\\",
    ),
    *(b"x" * 300, b"x" * 70_000, b"a/" * 3000, b"(" * 5000, b"*" * 2000, b"[" * 2000, b"\\u00e9"),
    *(b"0", b"-1", b"0x10", b"7777", b"1_0", b"8", b"99999999999", b" 1", b"\xd9\xa3", b"1e999"),
    *(
        b"9999-12-31T23:59:59.999999-23:59",
        b"0001-01-01T00:00:00+23:59",
        b"2026-02-30",
        b"20260101",
    ),
    *(b"10000-01-01T00:00:00Z", b"2026-01-01T24:00:00Z", b"2026-01-01T00:00:60Z", b"2026-W01-1"),
    *(b"0" * 40, b"g" * 40, b"0" * 64, b"f" * 32, b"=", b"====", b"AAAAA", b"null", b"true"),
    *(b"[b-a]", b"[[a]", b"[!", b"**", b"a**b", b"!", b"\\\\"),
)
SHAPES: Final = (
    *(b"null", b"true", b"false", b"[]", b"{}", b"[[]]", b"[null]", b'{"a":{}}', b"[1,2]", b'[""]'),
    *(b"2026-01-01", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"07:32:00"),
    *(b"[" * DEEP + b"]" * DEEP, b"[" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b"[" * 900),
    *(b"'", b'"""', b"#", b",", b":", b"...", b"<>", b"<x>"),
)


def mutants(example: bytes, rng: random.Random, count: int) -> Iterator[bytes]:
    """So many, beginning with what is no mutant of anything."""
    junk = (b"", b"\0", b"\n", b"{}", b"[]", b"null", b"\xff" * 100, b"[" * DEEP, bytes(10_000))
    yield from junk[:count]
    for _ in range(count - len(junk)):
        data = example
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            data = rng.choice(EDITS)(data, rng)
        yield data


def odd_value(rng: random.Random) -> bytes:
    kind = rng.randrange(3)
    if kind == 1:
        return b'"' + rng.choice(TEXTS) + b'"'
    return rng.choice(SHAPES if kind else NUMBERS)


def _flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if data else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _shortened(data: bytes, rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:start] + data[end:]


def _doubled(data: bytes, rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 1, 2, 50)) + data[end:]


def _with_junk(data: bytes, rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    junk = rng.randbytes(rng.choice((1, 4, 8, 64)))
    return data[:start] + junk + data[rng.choice((start, end)) :]


def _exchanged(data: bytes, rng: random.Random) -> bytes:
    """Another value in the place of a word."""
    found = _chosen(_WORD, data, rng)
    return data if found is None else data[: found.start()] + odd_value(rng) + data[found.end() :]


def _member_exchanged(data: bytes, rng: random.Random) -> bytes:
    found = _chosen(_MEMBER, data, rng)
    return data if found is None else data[: found.start(3)] + odd_value(rng) + data[found.end() :]


def _member_twice(data: bytes, rng: random.Random) -> bytes:
    found = _chosen(_MEMBER, data, rng)
    if found is None:
        return data
    more = found[1] + found[2] + rng.choice((found[3], odd_value(rng)))
    between = b"\n" if b"=" in found[2] else b","
    return data[: found.end()] + between + more + data[found.end() :]


def _member_missing(data: bytes, rng: random.Random) -> bytes:
    found = _chosen(_MEMBER, data, rng)
    if found is None:
        return data
    end = found.end() + len(re.match(rb",?\s*", data[found.end() :])[0])  # type: ignore[index]
    return data[: found.start()] + data[end:]


def _member_moved(data: bytes, rng: random.Random) -> bytes:
    """What one member says, another one says."""
    one, two = _chosen(_MEMBER, data, rng), _chosen(_MEMBER, data, rng)
    if one is None or two is None:
        return data
    return data[: one.start(3)] + two[3] + data[one.end() :]


def _chosen(pattern: re.Pattern[bytes], data: bytes, rng: random.Random) -> re.Match[bytes] | None:
    """One of those at the beginning."""
    found = [*pattern.finditer(data, 0, 20_000)]
    return rng.choice(found) if found else None


def _part(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 4, 32, 500)))


EDITS: Final[tuple[Edit, ...]] = (
    *(_flipped, _cut, _shortened, _doubled, _with_junk),
    *(_exchanged, _exchanged, _member_exchanged, _member_exchanged),
    *(_member_twice, _member_missing, _member_moved),
)
