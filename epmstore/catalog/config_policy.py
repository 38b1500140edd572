"""What upgrades of an application do with configuration that was edited here and that its vendor
changed as well. Pure.
"""

from typing import Final

import msgspec

from epmstore.catalog.appcat import App
from epmstore.errors import UsageError

POLICY: Final = "config_policy"
"""The option of an application that says so."""
POLICIES: Final = ("keep", "merge", "restore")
DEFAULT_POLICY: Final = POLICIES[0]


def policy_of(app: App) -> str:
    """One of POLICIES. A word that is not known here keeps what was edited."""
    found = app.options.get(POLICY)
    return str(found) if found in POLICIES else DEFAULT_POLICY


def with_policy(app: App, policy: str) -> App:
    """The application with this policy; that by default is not said. Raises UsageError."""
    if policy and policy not in POLICIES:
        raise UsageError(f"{policy!r} is none of {', '.join(POLICIES)}")
    options = {key: value for key, value in app.options.items() if key != POLICY}
    if policy not in ("", DEFAULT_POLICY):
        options[POLICY] = policy
    return msgspec.structs.replace(app, options=options)
