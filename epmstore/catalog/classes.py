"""The class of a path, from an application's patterns. Pure.

- Patterns are those of gitignore(5), one list for each class; the root is the folder they are
  relative to. Inside a list the last pattern that matches decides, and `!` takes back.
- What is below a matched folder is matched too, and a `!` does not reach in there.
- Between lists: ignore before secret before state before config; what no list matches is program,
  or state if it is known to be noisy.
"""

import hashlib
import re
import warnings
from collections.abc import Collection, Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.catalog.linear import linear
from epmstore.errors import UsageError
from epmstore.relpath import parents, split
from epmstore.tree import PathClass

Class: TypeAlias = PathClass | Literal["ignore"]
LISTS: Final = ("ignore", "secret", "state", "config")
"""The lists of patterns, the strongest first."""
_FIRST_OF: Final[list[Class]] = [
    "program",
    *(LISTS[(lists & -lists).bit_length() - 1] for lists in range(1, 1 << len(LISTS))),
]
"""The class that a set of lists, as bits, comes to."""
_SPECIAL = re.compile(r"[][*?!\\/]")
"""What makes a pattern more than a name."""


_ANY_FOLDER = "(?P<ps_d>/)"
_EVERYTHING = (".",)
MOST_STARS: Final = 2
"""In a pattern of which the expression is not known: more could be tried for ever."""
MOST_CHARACTERS: Final = 4096
"""In a pattern; no path is longer, and translating one takes the square of its length."""
_ENDS = ("(?P<ps_d>/)", "(?P<ps_d>/)|$)")
"""How expressions of pathspec end that match a path itself and not only what is in it."""


class Patterns(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The patterns of an application, as they were given."""

    ignore: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    config: tuple[str, ...] = ()

    def digest(self) -> str:
        """SHA-256 over the lists, as hex: whether the same rules were in force."""
        return hashlib.sha256(msgspec.json.encode([getattr(self, x) for x in LISTS])).hexdigest()


class Rules:
    """Patterns made ready to be asked about very many paths; for one thread at a time."""

    def __init__(self, patterns: Patterns, noisy: Collection[str] = ()) -> None:
        """`noisy` are files that change all the time and are `state` unless a pattern says what
        they are. Raises UsageError for a pattern that is none, or that no path can match.
        """
        self.patterns = patterns
        self._noisy = frozenset(noisy)
        with warnings.catch_warnings():
            # a class may hold a bracket, as git has it: Python warns that this may change one day
            warnings.simplefilter("ignore", FutureWarning)
            lists = [_compile(getattr(patterns, name)) for name in LISTS]
            self._lists = [(1 << n, rules) for n, rules in enumerate(lists) if rules]
            rules = [rule for _, found in self._lists for rule in found]
            self._names = _Sieve([rule for rule in rules if rule.by_name])
            self._paths = _Sieve([rule for rule in rules if not rule.by_name])
        self._folders = {"": 0}

    def digest(self) -> str:
        return self.patterns.digest()

    def classify(self, path: str, is_dir: bool = False) -> Class:
        """The class of a path below the root, whether or not the folders above it were asked."""
        if self._noisy and not is_dir and path in self._noisy:
            found = self._by_patterns(path, is_dir)
            return "state" if found == "program" else found
        return self._by_patterns(path, is_dir)

    def is_below_state(self, path: str) -> bool:
        """Whether a path is in a folder of class `state`, which is not looked into, whatever class
        it has itself.
        """
        if not self._lists:
            return False
        return any(self.classify(above, True) == "state" for above in parents(path))

    @property
    def is_plain(self) -> bool:
        """Whether everything is `program`."""
        return not self._lists and not self._noisy

    def _by_patterns(self, path: str, is_dir: bool) -> Class:
        if not self._lists:
            return "program"
        folder, name = split(path)
        above = self._folders.get(folder)
        if above is None:
            above = self._above(folder)
        matched = above | self._own(path, name, is_dir)
        if is_dir:
            self._folders[path] = matched
        return _FIRST_OF[matched]

    def _above(self, folder: str) -> int:
        """The lists that match a folder, of which no question was asked yet."""
        matched = 0
        for path in (*parents(folder), folder):
            known = self._folders.get(path)
            if known is None:
                known = matched | self._own(path, split(path)[1], True)
                self._folders[path] = known
            matched = known
        return matched

    def _own(self, path: str, name: str, is_dir: bool) -> int:
        """The lists with patterns that match this very path, as bits."""
        end = "/" if is_dir else ""
        if not self._names.may_match(name, end) and not self._paths.may_match(path, end):
            return 0
        return sum(bit for bit, rules in self._lists if _matches(rules, path, name, end))


class _Rule(msgspec.Struct, frozen=True):
    """One pattern: `by_name` if it looks at the last name alone; `inside` if it matches what is in
    a folder, however deep, and not the folder itself.
    """

    text: str
    regex: re.Pattern[str]
    include: bool
    by_name: bool
    inside: bool


class _Sieve:
    """Says of most texts, quickly, that no rule matches; of the others it says nothing."""

    def __init__(self, rules: list[_Rule]) -> None:
        literals = {rule.text for rule in rules if not _SPECIAL.search(rule.text)}
        endings = {rule.text[1:] for rule in rules if rule.text.startswith("*")}
        endings = {text for text in endings if not _SPECIAL.search(text)}
        # groups have names in each rule, and one expression may not have a name twice
        bodies = [
            re.sub(r"\(\?P<\w+>", "(?:", rule.regex.pattern)
            for rule in rules
            if rule.text not in literals
            and not (rule.text.startswith("*") and rule.text[1:] in endings)
        ]
        self._literals = frozenset(literals)
        self._endings = tuple(endings)
        self._others = re.compile("|".join(bodies)) if bodies else None

    def may_match(self, text: str, end: str) -> bool:
        return (
            text in self._literals
            or text.endswith(self._endings)
            or (self._others is not None and self._others.match(text + end) is not None)
        )


def _compile(patterns: tuple[str, ...]) -> list[_Rule]:
    if not patterns:
        return []
    # The import takes 40 ms, which most commands and most applications can do without.
    from pathspec import GitIgnoreSpec  # noqa: PLC0415

    rules = []
    for text in patterns:
        if len(text) > MOST_CHARACTERS:
            raise UsageError(f"{text[:40]!r}... is longer than a path can be")
        try:
            # "simple", because other engines do not take names that are not UTF-8
            found = list(GitIgnoreSpec.from_lines([_spelled(text)], backend="simple").patterns)
        except (ValueError, re.error):  # the latter of a range that ends before it begins
            found = []
        if not found or found[0].regex is None:
            raise UsageError(f"{text!r} is not a pattern that a path can match")
        rules.append(_rule(text, found[0].regex, bool(found[0].include)))
    return rules


def _rule(text: str, regex: re.Pattern[str], include: bool) -> _Rule:
    body = text.rstrip().rstrip("/").removeprefix("!")
    any_folder = regex.pattern == _ANY_FOLDER
    if not any_folder and regex.pattern not in _EVERYTHING:
        without_retries = linear(regex.pattern)
        if without_retries is None and body.count("*") > MOST_STARS:
            raise UsageError(f"{text!r} has more than {MOST_STARS} stars")
        regex = re.compile(without_retries or regex.pattern)
    return _Rule(
        text=body,
        regex=re.compile("[^/]+/") if any_folder else regex,
        include=include,
        by_name=any_folder or "/" not in body,
        inside=not regex.pattern.endswith(_ENDS),
    )


def _spelled(text: str) -> str:
    """`a/**/`, which means the folders in a, as pathspec understands it."""
    return f"{text.rstrip()}*/" if text.rstrip().endswith("**/") else text


def _matches(rules: list[_Rule], path: str, name: str, end: str) -> bool:
    for rule in reversed(rules):
        subject = name if rule.by_name else path
        # the whole of it: that a folder above is matched is no match of this path
        found = rule.regex.match(subject) if rule.inside else rule.regex.fullmatch(subject + end)
        if found:
            return rule.include
    return False


def stronger(classes: Iterable[Class]) -> Class:
    """The one that comes first in the order of the lists."""
    return min(classes, key=(*LISTS, "program").index)
