"""Who owns an application, and sees all of it in the console: users, and groups as `@crm-admins`.

Owners are an option of the application. Names are looked up when one of them comes, so that one
which is not there yet can be named. Pure.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from epmstore.catalog.appcat import App
from epmstore.errors import UsageError

OPTION: Final = "owners"
GROUP: Final = "@"


def owners_of(app: App) -> tuple[str, ...]:
    """As they were given; what is no list of names owns nothing."""
    found = app.options.get(OPTION, ())
    if not isinstance(found, list | tuple):
        return ()
    return tuple(one for one in found if isinstance(one, str))


def with_owners(app: App, owners: Sequence[str]) -> App:
    """The application with these owners instead of its own. Raises UsageError for what is no name
    of a user or a group.
    """
    for owner in owners:
        plain = owner.removeprefix(GROUP)
        if not plain or any(c.isspace() or c in ":/@\0" for c in plain) or not plain.isprintable():
            raise UsageError(
                f"{owner!r} is no name of a user or a group",
                hint='write owners = ["jane", "@crm-admins"]',
            )
    options = {key: value for key, value in app.options.items() if key != OPTION}
    if owners:
        options[OPTION] = list(owners)
    return msgspec.structs.replace(app, options=options)


def is_owner(app: App, user: str, groups: frozenset[str]) -> bool:
    """Whether a user who is in these groups owns an application."""
    return any(
        owner.removeprefix(GROUP) in groups if owner.startswith(GROUP) else owner == user
        for owner in owners_of(app)
    )
