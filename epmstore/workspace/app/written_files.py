"""The files that parameters of an application were written into, as they were written last."""

import msgspec

from epmstore.catalog.model import Parameters
from epmstore.catalog.parameters import parameters_at
from epmstore.relpath import RelPath
from epmstore.tree import Entry
from epmstore.workspace.app.context import AppContext


def rendered_now(context: AppContext, said: Parameters | None = None) -> dict[RelPath, Entry]:
    """The files as they were written last, whatever became of them since; without one that no
    version has any more.
    """
    said = parameters_at(context.state()) if said is None else said
    found: dict[RelPath, Entry] = {}
    for one in said.files:
        for span in context.store.entries.history(context.app.uuid, one.path):
            content = span.entry.content
            if content is not None and content.sha256.hex() == one.sha256:
                found[one.path] = msgspec.structs.replace(span.entry, path=one.path)
    return found
