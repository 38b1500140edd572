"""Which paths of the newest version are hard links of others, asked of the whole tree at once."""

from epmstore.index.database import Database
from epmstore.index.entries import app_number
from epmstore.index.entryrows import read_meta, row_path
from epmstore.relpath import RelPath, from_bytes


def live_links(database: Database, app: str) -> dict[RelPath, RelPath]:
    """Path to the first path of its file. Quick where there are none."""
    with database.read() as db:
        shared = {n: read_meta((form,)) for n, form in db.execute("SELECT id, form FROM metas")}
        first = {n: from_bytes(m.same_as) for n, m in shared.items() if m.same_as is not None}
        if not first:
            return {}
        rows = db.execute(
            "SELECT f.path, e.name, e.meta FROM live e JOIN folders f ON f.id = e.folder"
            " WHERE e.app = ?",
            (app_number(db, app),),
        )
        return {row_path(row[0], row[1]): first[row[2]] for row in rows if row[2] in first}
