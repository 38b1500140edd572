"""The texts of the package that are made: control file, changelog, copyright. Pure."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.message import Message
from email.utils import format_datetime
from typing import Final

MAINTAINER: Final = "The epmstore maintainers <maintainers@epmstore.invalid>"
DEPENDS: Final = (
    # the interpreter that the wheels are built for, by its own name: a python3 that becomes a newer
    # one in an upgrade of the distribution does not take epmstore away
    "python3.11",
    # what the compiled parts are linked with
    "libc6 (>= 2.28)",
    "libgcc-s1",
    "libstdc++6",
    # what postinst runs
    "init-system-helpers (>= 1.54~)",
    "systemd | systemd-standalone-sysusers | systemd-sysusers",
    "systemd | systemd-standalone-tmpfiles | systemd-tmpfiles",
)
_SHORT: Final = "know what is on a host, and get back"
_LONG: Final = """\
 epmstore records the directory of an application as numbered versions, stores
 every content once, and puts any version back: exactly, crash-safe, verified,
 and with an undo. A daemon records by itself; a catalog of the vendor tells
 released files from changed, unknown and missing ones.
 .
 The program and its locked Python dependencies are in /opt/epmstore, and use
 nothing of Python that is installed elsewhere but the interpreter."""


def debian_version(version: str) -> str:
    """A version of Python's as one that dpkg orders alike: before a release is what precedes it."""
    return re.sub(r"\.?(a|b|rc)(?=\d)", r"~\1", version).replace(".dev", "~~dev")


def control(version: str, size: int) -> str:
    """`size` in bytes, of all files."""
    fields = {
        "Package": "epmstore",
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": MAINTAINER,
        "Installed-Size": str(-(-size // 1024)),
        "Depends": ", ".join(DEPENDS),
        "Section": "admin",
        "Priority": "optional",
        "Description": f"{_SHORT}\n{_LONG}",
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def changelog(version: str, epoch: int) -> str:
    """The one entry that dpkg's tools look for; what changed is in the CHANGELOG.md beside it."""
    date = format_datetime(datetime.fromtimestamp(epoch, UTC))
    return (
        f"epmstore ({version}) stable; urgency=medium\n\n"
        "  * See CHANGELOG.md.gz, which has what changed in every release.\n\n"
        f" -- {MAINTAINER}  {date}\n"
    )


def copyright_of(packages: Iterable[tuple[str, Message]]) -> str:
    """`packages`: folders of what is included (`click-8.5.1.dist-info`), each with its METADATA."""
    lines = [
        "epmstore is under the Apache License, version 2.0: on Debian, its text is in",
        "/usr/share/common-licenses/Apache-2.0. Copyright 2026 the epmstore authors.",
        "",
        "/opt/epmstore has these packages of others in it, unchanged. The full texts of their",
        "licenses and copyrights are below /opt/epmstore/current/lib/python3.11/site-packages, in",
        "the folders that are named.",
    ]
    for folder, metadata in packages:
        license_name = metadata["License-Expression"] or _classified(metadata)
        lines += ["", f"{metadata['Name']} {metadata['Version']}: {license_name}", f"  {folder}/"]
    return "\n".join(lines) + "\n"


def _classified(metadata: Message) -> str:
    """The license by the classifiers, or by the old field, if it is a name and no text."""
    found = [
        value.rpartition(" :: ")[2]
        for value in metadata.get_all("Classifier", [])
        if value.startswith("License :: OSI Approved :: ")
    ]
    named = (metadata["License"] or "").strip()
    return named if named and "\n" not in named else ", ".join(found) or "see there"
