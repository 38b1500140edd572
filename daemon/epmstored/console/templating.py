"""Pages as HTML: templates that were read when the daemon started, values that are all escaped.

What a page shows is text of others: names of files, labels, what vendors wrote. It cannot become
markup (autoescape is on for everything), nor can it have control characters or turn the direction
of writing, even where a view forgot to see to that.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from epmstore.wording import safe_text

STATIC_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class StaticFile(msgspec.Struct, frozen=True):
    """What never changes while the daemon runs."""

    data: bytes
    media: str
    etag: str


@cache
def templates() -> Environment:
    """All templates, in memory: another release may be in their place later."""
    folder = files("epmstored.console").joinpath("templates")
    texts = {one.name: one.read_text("utf-8") for one in folder.iterdir() if one.is_file()}
    environment = Environment(
        loader=DictLoader(texts),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for name in texts:
        environment.get_template(name)
    return environment


def _harmless(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, Markup):
        return safe_text(value)
    return value


def static_files() -> Mapping[str, StaticFile]:
    """By name."""
    found = {}
    for one in files("epmstored.console").joinpath("static").iterdir():
        media = STATIC_TYPES.get(one.name[one.name.rfind(".") :])
        if media is not None:
            data = one.read_bytes()
            found[one.name] = StaticFile(data, media, etag_of(data))
    return found


def etag_of(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


def render(environment: Environment, template: str, context: Mapping[str, Any]) -> bytes:
    """A whole page."""
    text = environment.get_template(template).render(context)
    return text.encode("utf-8", "backslashreplace")
