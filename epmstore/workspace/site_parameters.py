"""`ws.parameters`: setting parameters of one application, or of all instances of a product.

A setting of the site is one of each instance, which says it in its own history: so that going back
in one of them goes back in all that is set there.
"""

from collections.abc import Callable, Sequence
from typing import Unpack

from epmstore.checkout.request import Prepared
from epmstore.errors import EpmError
from epmstore.record.result import Result
from epmstore.workspace.app.asked import TermsGiven
from epmstore.workspace.app.handle import AppHandle
from epmstore.workspace.app.parametering import SetParameter


class SiteParameters:
    """Of one open store; `handles` gives its applications."""

    def __init__(self, handles: Callable[[], Sequence[AppHandle]]) -> None:
        self._handles = handles

    def plan(self, app: AppHandle, asked: SetParameter) -> list[tuple[AppHandle, Prepared]]:
        """What `set` would do now, of each application. Raises as it does."""
        return [(one, one.parameters.plan(asked)) for one in self._meant(app, asked)]

    def set(self, app: AppHandle, asked: SetParameter, **terms: Unpack[TermsGiven]) -> list[Result]:
        """Set a parameter in an application, or, if it is of the site, in each that has the same
        product. All of them are planned first; those that are done before one fails stay, and
        `data["done"]` names them. Raises as `app.parameters.set`.
        """
        meant = self._meant(app, asked)
        if len(meant) > 1:
            self.plan(app, asked)
        results: list[Result] = []
        for one in meant:
            try:
                results.append(one.parameters.set(asked, **terms))
            except EpmError as error:
                error.data["done"] = [result.app for result in results]
                raise
        return results

    def _meant(self, app: AppHandle, asked: SetParameter) -> list[AppHandle]:
        product, is_site = app.parameters.product_of(asked.name)
        if not asked.site and not is_site:
            return [app]
        others = [one for one in self._handles() if one.app.uuid != app.app.uuid]
        return [app, *(one for one in others if one.parameters.has(product))]
