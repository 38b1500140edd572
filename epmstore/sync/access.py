"""Who can read what lies on a remote, in words: what a person is to know before anything goes
there.
"""

import os
import stat

from epmstore.owned import who


def describe_access(url: str) -> str:
    """One sentence, as far as this host can tell."""
    if url.startswith("https://"):
        return "everybody who can reach this web server can read it"
    if url.startswith("http://"):
        return "everybody who can reach this web server, and everybody on the way, can read it"
    if url.startswith("sftp://"):
        user = url.removeprefix("sftp://").partition("@")[0]
        return f"it is not encrypted: {user}, and who runs that server, can read and delete it"
    if url.startswith("s3://"):
        return (
            "it is not encrypted by epmstore: who may read the bucket, and who runs it, can read it"
        )
    try:
        found = os.stat(url)
    except OSError:
        return "it is not encrypted"
    others = "nobody else"
    if found.st_mode & stat.S_IROTH and found.st_mode & stat.S_IXOTH:
        others = "every user of each host that has this folder"
    elif found.st_mode & stat.S_IRGRP:
        others = f"the group {found.st_gid}"
    return f"it is not encrypted: {who(found.st_uid)} can read and delete it, {others} can read it"
