"""Reading a report that was made elsewhere."""

from epmstore.digest import parse_digest
from epmstore.errors import UsageError
from epmstore.refcat.identify import Identifier, Origin
from epmstore.refcat.releases import Releases
from epmstore.refcat.report import check_catalog, check_report
from epmstore.store.store import Store


class ReadReport:
    """A report that was sent here, beside the catalog here."""

    def __init__(self, store: Store, form: object) -> None:
        """Raises UsageError, VersionNotFoundError, ConflictError."""
        self.form = check_report(form)
        claimed = self.form["catalog"]
        releases = Releases(store, str(claimed["app"]))
        if releases.latest() is None:
            raise UsageError(
                f"there is no catalog of {claimed['key']} ({claimed['app']}) in this store",
                hint="a report is read beside the catalog that it was made with",
            )
        self.release = check_catalog(self.form, releases)
        self.latest = releases.latest()
        self._identifier = Identifier(store)

    def known_here(self) -> dict[str, list[Origin]]:
        """Path to where its bytes were shipped, for deviations that the host did not know, and that
        some catalog here does.
        """
        found: dict[str, list[Origin]] = {}
        for one in self.form["deviations"]:
            if one["digest"] is None or one["what"] not in ("local", "unknown"):
                continue
            infos = self._identifier.with_digest(parse_digest(one["digest"]))
            origins = [o for many in self._identifier.origins(infos).values() for o in many]
            if origins:
                found[one["path"]] = origins
        return found
