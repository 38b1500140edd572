"""What a checkout of a whole release changes beside its files: what is installed, and the files
that parameters are written into.
"""

import msgspec

from epmstore.checkout.goal import ReleaseGoal
from epmstore.checkout.request import Request
from epmstore.clock import from_rfc3339
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.rendered import rendered_with
from epmstore.workspace.app.verifying import installed_with


def completed(context: AppContext, request: Request) -> Request:
    """A request, with that. One that is completed later, as that of a plan file, comes to the same
    if nothing was set in between. Raises ConflictError for what is set and the release does not
    allow.
    """
    goal = request.goal
    if request.action != "checkout" or request.scope or not isinstance(goal, ReleaseGoal):
        return request
    release = context.releases.get(goal.release)
    installed = installed_with(context, release)
    moment = int(from_rfc3339(release.time) * 1e9)
    said, rendering = rendered_with(context, installed, moment)
    return msgspec.structs.replace(
        request, installed=installed, parameters=said, rendering=rendering
    )
