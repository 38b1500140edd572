"""The catalogs of the founding documents, read generously. Pure.

The first catalogs were drawn before there was a program: an object of `version` and `components`,
of which each digest has a list of paths; several of them one after the other; and a sketch in which
the two keys are repeated inside of one object, commas are missing, and places are held by `<...>`
and `...`. All of these are read here, and each liberty that is taken is named with its line.
Nothing else in epmstore reads so: what came in this way is published like any release, or printed
in plain form.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.errors import InvalidNameError, UsageError
from epmstore.relpath import RelPath, parse_relpath

MAX_DEPTH = 16
TokenKind: TypeAlias = Literal["mark", "text", "number", "place", "word", "end"]
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<quotes>\"\"\"|''')
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<place><[^<>\n]*>|\.\.\.)
      | (?P<mark>[\[\]{}:,])
      | (?P<number>-?[0-9]+(?![\w.]))
      | (?P<word>[^\s\[\]{}:,"'<>]+)
      | (?P<junk>.)""",
    re.VERBOSE,
)
_PROMPT: Final = re.compile(r"^(?:>>>|\.\.\.)(?= |$)", re.MULTILINE)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_DRIVE: Final = re.compile(r"[A-Za-z]:")


class FoundingRepair(msgspec.Struct, frozen=True):
    """A liberty that was taken: on which line (from 1), and what."""

    line: int
    what: str


class FoundingVersion(msgspec.Struct, frozen=True):
    """One version: digests as they are written, each with its paths in order."""

    version: int
    components: dict[str, list[RelPath]]


class Founding(msgspec.Struct, frozen=True):
    """What a document came to."""

    versions: list[FoundingVersion]
    repairs: list[FoundingRepair]


class _Token(msgspec.Struct, frozen=True):
    kind: TokenKind
    text: str
    line: int


def read_founding(text: str) -> Founding:
    """Raises UsageError, naming the line, for what cannot be made sense of."""
    reader = _Reader(text)
    reader.read()
    if not reader.versions:
        raise UsageError(
            "there is no version in it",
            hint='a version is {"version": 1, "components": {"<SHA-1>": ["path"]}}',
        )
    return Founding(reader.versions, sorted(reader.repairs, key=lambda repair: repair.line))


def _tokens(text: str, repairs: list[FoundingRepair]) -> Iterator[_Token]:
    line = 1
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup
        if kind in ("text", "place", "mark", "number", "word"):
            yield _Token(kind, found[0], line)  # type: ignore[arg-type]
        elif kind == "junk":
            repairs.append(FoundingRepair(line, f"{found[0]!r} is left out"))
        line += found[0].count("\n")
    yield _Token("end", "", line)


class _Reader:
    """Reads one document, object by object."""

    def __init__(self, text: str) -> None:
        self.repairs: list[FoundingRepair] = []
        self.versions: list[FoundingVersion] = []
        self._number: int | None = None
        self._ended = False
        plain = _PROMPT.sub("", text)
        if plain != text:
            first = text[: next(_PROMPT.finditer(text)).start()].count("\n") + 1
            self.repairs.append(FoundingRepair(first, "Python's prompts are left out"))
        self._tokens = list(_tokens(plain, self.repairs))
        self._at = 0

    def read(self) -> None:
        skipped: list[_Token] = []
        while self._now.kind != "end":
            if self._is("{"):
                self._flush(skipped)
                self._object()
            else:
                if not (self._is("[") or self._is("]") or self._is(",")):
                    skipped.append(self._now)
                self._at += 1
        self._flush(skipped)

    def _flush(self, skipped: list[_Token]) -> None:
        if skipped:
            first = skipped[0]
            more = f" and {len(skipped) - 1} more words" if len(skipped) > 1 else ""
            self._say(first.line, f"{first.text[:40]!r}{more} are no part of a catalog")
            skipped.clear()

    def _object(self) -> None:
        """`{ "version": ..., "components": {...} ... }`, perhaps with more of the two."""
        opened = self._next().line
        self._number = None
        done = 0
        while not self._closes("}", opened):
            key = self._key()
            if key.text == "version":
                if self._number is not None or done:
                    self._say(key.line, "a second `version` in one object: taken for the next")
                self._number = self._version()
            elif key.text == "components":
                self._take(key, self._components(key.line))
                done += 1
            else:
                self._say(key.line, f"{key.text!r} is left out: it is not known")
                self._skip(0)
            self._comma("}")

    def _take(self, key: _Token, components: dict[str, list[RelPath]]) -> None:
        number = self._number
        expected = self.versions[-1].version + 1 if self.versions else None
        if number is None:
            number = expected or 0
            self._say(key.line, f"components without a version: taken for version {number}")
        if expected is not None and number != expected:
            raise UsageError(
                f"line {key.line}: version {number} comes where {expected} is due", line=key.line
            )
        self.versions.append(FoundingVersion(number, components))
        self._number = None

    def _version(self) -> int:
        token = self._next()
        if token.kind == "number" and not token.text.startswith("-") and len(token.text) < 16:
            return int(token.text)
        if token.kind == "place":
            number = self.versions[-1].version + 1 if self.versions else 0
            self._say(token.line, f"{token.text} is taken for {number}")
            return number
        raise UsageError(f"line {token.line}: {token.text!r} is no version", line=token.line)

    def _components(self, line: int) -> dict[str, list[RelPath]]:
        found: dict[str, list[RelPath]] = {}
        places: dict[RelPath, str] = {}
        self._open("{", line)
        while not self._closes("}", line):
            if self._now.kind == "place":
                self._leave_out()
            else:
                key = self._key()
                if key.text in found:
                    self._say(key.line, f"{key.text!r} is there twice: its paths are put together")
                known = found.setdefault(key.text, [])
                for path, where in self._paths(key.line):
                    if path in places:
                        self._say(where, f"{path!r} is there twice: the later one counts")
                        found[places[path]].remove(path)
                    places[path] = key.text
                    known.append(path)
            self._comma("}")
        return {digest: paths for digest, paths in found.items() if paths}

    def _paths(self, line: int) -> Iterator[tuple[RelPath, int]]:
        """Of a list, or the keys of an object: what is said of each of those is left out."""
        if not (self._is("[") or self._is("{")):
            token = self._next()
            if token.kind != "text":
                raise UsageError(f"line {token.line}: {token.text!r} is no path", line=token.line)
            self._say(token.line, "one path without a list")
            yield self._path(token)
            return
        close = "]" if self._is("[") else "}"
        self._at += 1
        while not self._closes(close, line):
            if self._now.kind == "place":
                self._leave_out()
            else:
                token = self._next()
                if token.kind != "text":
                    raise UsageError(
                        f"line {token.line}: {token.text!r} is no path", line=token.line
                    )
                yield self._path(token)
                if close == "}" and self._is(":"):
                    self._at += 1
                    self._skip(0)
            self._comma(close)

    def _path(self, token: _Token) -> tuple[RelPath, int]:
        text = _unquoted(token)
        if "\\" in text:
            self._say(token.line, f"{text!r} has backslashes: taken for slashes")
            text = text.replace("\\", "/")
        if _DRIVE.match(text):
            raise UsageError(f"line {token.line}: {text!r} names a drive", line=token.line)
        try:
            return parse_relpath(text), token.line
        except InvalidNameError as error:
            raise UsageError(f"line {token.line}: {error.message}", line=token.line) from None

    def _key(self) -> _Token:
        token = self._next()
        if token.kind not in ("text", "word"):
            raise UsageError(f"line {token.line}: {token.text!r} is no key", line=token.line)
        if token.kind == "word":
            self._say(token.line, f"{token.text!r} has no quotes")
        if self._is(":"):
            self._at += 1
        else:
            self._say(self._now.line, f"no colon behind {token.text}")
        return _Token("text", _unquoted(token), token.line)

    def _skip(self, depth: int) -> None:
        """Whatever value comes."""
        token = self._next()
        if token.text not in ("[", "{") or token.kind != "mark":
            return
        if depth > MAX_DEPTH:
            raise UsageError(f"line {token.line}: nested too deep", line=token.line)
        close = "]" if token.text == "[" else "}"
        while not self._closes(close, token.line):
            if self._is(":") or self._is(","):
                self._at += 1
            else:
                self._skip(depth + 1)

    def _open(self, mark: str, line: int) -> None:
        if not self._is(mark):
            raise UsageError(
                f"line {self._now.line}: {mark} is due, and {self._now.text!r} is there", line=line
            )
        self._at += 1

    def _closes(self, mark: str, line: int) -> bool:
        """Whether what was opened on `line` ends here."""
        if self._now.kind == "end":
            if not self._ended:
                self._say(self._now.line, f"what line {line} opens is not closed: closed")
            self._ended = True
            return True
        if self._is(mark):
            self._at += 1
            return True
        return False

    def _comma(self, close: str) -> None:
        if self._is(","):
            self._at += 1
            if self._is(close):
                self._say(self._now.line, "a comma behind the last one")
        elif not self._is(close) and self._now.kind != "end":
            self._say(self._tokens[self._at - 1].line, "a comma is missing")

    def _leave_out(self) -> None:
        token = self._next()
        self._say(token.line, f"{token.text} is left out")

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _is(self, mark: str) -> bool:
        return self._now.kind == "mark" and self._now.text == mark

    def _say(self, line: int, what: str) -> None:
        self.repairs.append(FoundingRepair(line, what))


def _unquoted(token: _Token) -> str:
    if token.kind != "text" or token.text[:1] not in ("'", '"'):
        return token.text

    def plain(found: re.Match[str]) -> str:
        text = found[1]
        if text[0] == "u" and len(text) == 5:
            return chr(int(text[1:], 16))
        if text in _ESCAPES:
            return _ESCAPES[text]
        return text if text in "\"'/\\" else found[0]  # a path of Windows, written as it is

    text = _ESCAPE.sub(plain, token.text[1:-1])
    try:  # letters beyond 16 bits are written as two halves
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise UsageError(
            f"line {token.line}: {token.text} has half of a letter", line=token.line
        ) from None
