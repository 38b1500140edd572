"""Expressions of patterns that never try twice. Pure.

A pattern such as `*a*a*a*b` becomes an expression that, on a name full of `a`, tries every way to
give each star its share: a vendor's pattern could stop a host. Nothing is lost by taking for each
star but the last of a name the first place that fits: whatever the rest matches further on, it
matches from there. The same holds for `**`, with folders for letters. So each of them is made
atomic, and what is left to try is one star of each name and one `**`: matching takes time in
proportion to the length of the path times that of the pattern.
"""

import re
from typing import Final

_STAR: Final = "[^/]*"
_NAME: Final = "[^/]+"
_LEADING: Final = "(?:.+/)?"
_BETWEEN: Final = "(?:/.+)?"
_TOKEN = re.compile(
    r"\(\?:\.\+/\)\?"  # any folders before
    r"|\(\?:/\.\+\)\?"  # any folders between
    r"|\[\^/\][*+]?"
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]"
    r"|\\."
    r"|[^\\()\[\]*+?{}|^$.]",
    re.DOTALL,
)
_ENDS: Final = ("(?:(?P<ps_d>/)|$)", "(?P<ps_d>/)")


def linear(expression: str) -> str | None:
    """The same as an expression that pathspec makes of a pattern, but for classes of letters, which
    never match a `/`; None for one that it does not know.
    """
    if not expression.startswith("^"):
        return None
    end = next((end for end in _ENDS if expression.endswith(end)), "")
    tokens = _tokens(expression[1 : len(expression) - len(end)])
    if tokens is None:
        return None
    starts_anywhere = tokens[:1] == [_LEADING]
    groups = _split(tokens[1:] if starts_anywhere else tokens, _BETWEEN)
    made = []
    for number, group in enumerate(groups):
        is_last = number == len(groups) - 1
        names = [*map(_name, _split(group, "/"))]
        body = "/".join(names)
        if number == 0:
            body = f"(?:[^/]+/)*?{body}" if starts_anywhere else body
        else:
            body = f"(?:/[^/]+)*?{body}"  # which begins with a slash
        made.append(body if is_last else f"(?>{body}(?=/))")
    return f"^{''.join(made)}{end}"


def _tokens(body: str) -> list[str] | None:
    found: list[str] = []
    at = 0
    while at < len(body):
        token = _TOKEN.match(body, at)
        if token is None or (token[0] == _LEADING and at):
            return None
        at = token.end()
        if token[0] == _STAR and found[-1:] == [_STAR]:
            continue
        found.append(token[0])
    return found


def _split(tokens: list[str], separator: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _name(tokens: list[str]) -> str:
    """One name of a path: between its stars the first place that fits, behind the last the end."""
    chunks = ["".join(map(_letter, chunk)) for chunk in _split(tokens, _STAR)]
    if len(chunks) == 1:
        return chunks[0]
    between = "".join(f"(?>[^/]*?{chunk})" for chunk in chunks[1:-1])
    return f"{chunks[0]}{between}[^/]*{chunks[-1]}"


def _letter(token: str) -> str:
    is_class = token.startswith("[") and token not in ("[^/]", _NAME)
    return f"(?!/){token}" if is_class else token
