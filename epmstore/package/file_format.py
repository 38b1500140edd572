"""The tables of a package, and how its file begins. Pure; drawn in docs/formats/package.md.

A host reads `catalog`, `frames`, `blobs` and `parts`, and nothing else. The other tables are for
people and their SQL: they say once more what the lines say, and `package verify` compares the two.
What a package says of itself never changes with the release of SQLite that wrote it, so tables are
compared by their text.
"""

from typing import Final

APPLICATION_ID: Final = 0x45504D4B
"""`EPMK`."""
USER_VERSION: Final = 1
SUFFIX: Final = ".epkg"
CANDIDATE: Final = f".candidate{SUFFIX}"
PATCH: Final = f".patch{SUFFIX}"
NOBODY: Final = "0" * 32
"""The product (UUID) of a candidate: it has none yet, and no catalog is of it."""

HOST: Final = {
    "catalog": """CREATE TABLE catalog (
    product TEXT NOT NULL, seq INTEGER NOT NULL, line BLOB NOT NULL,
    PRIMARY KEY (product, seq)
) STRICT""",
    "frames": """CREATE TABLE frames (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT""",
    "blobs": """CREATE TABLE blobs (
    sha256 BLOB NOT NULL PRIMARY KEY, sha1 BLOB, size INTEGER NOT NULL,
    frame INTEGER, offset INTEGER NOT NULL, length INTEGER NOT NULL, base BLOB
) STRICT, WITHOUT ROWID""",
    "parts": """CREATE TABLE parts (
    blob BLOB NOT NULL, n INTEGER NOT NULL, sha256 BLOB NOT NULL,
    PRIMARY KEY (blob, n)
) STRICT, WITHOUT ROWID""",
}
"""What a host reads."""

PEOPLE: Final = {
    "packages": """CREATE TABLE packages (
    package TEXT NOT NULL PRIMARY KEY, uuid TEXT, name TEXT, version TEXT NOT NULL,
    build INTEGER NOT NULL, release INTEGER, label TEXT, "order" TEXT NOT NULL, summary TEXT,
    description TEXT, architecture TEXT, url TEXT, packager TEXT, build_time TEXT, root TEXT,
    singleton INTEGER NOT NULL, data_epoch INTEGER NOT NULL, digest BLOB NOT NULL
) STRICT, WITHOUT ROWID""",
    "paths": """CREATE TABLE paths (
    path TEXT NOT NULL PRIMARY KEY, type TEXT NOT NULL, mode INTEGER NOT NULL, owner TEXT,
    "group" TEXT, mtime_ns TEXT, sha256 BLOB, sha1 BLOB, size INTEGER, target TEXT, same_as TEXT,
    xattrs TEXT
) STRICT, WITHOUT ROWID""",
    "packagefiles": """CREATE TABLE packagefiles (
    path TEXT NOT NULL PRIMARY KEY, package TEXT NOT NULL, part TEXT, class TEXT NOT NULL
) STRICT, WITHOUT ROWID""",
    "scripts": """CREATE TABLE scripts (
    package TEXT NOT NULL, stage TEXT NOT NULL, path TEXT NOT NULL, interpreter TEXT,
    failure TEXT NOT NULL, idempotent INTEGER NOT NULL, network INTEGER NOT NULL,
    PRIMARY KEY (package, stage)
) STRICT, WITHOUT ROWID""",
    "packagedeps": """CREATE TABLE packagedeps (
    id INTEGER PRIMARY KEY, package TEXT NOT NULL, part TEXT, kind TEXT NOT NULL, requires TEXT,
    reqpart TEXT, minversion TEXT, maxversion TEXT, minrelease INTEGER, maxrelease INTEGER,
    digest BLOB, optional INTEGER NOT NULL
) STRICT""",
    "provides": """CREATE TABLE provides (
    id INTEGER PRIMARY KEY, package TEXT NOT NULL, part TEXT, kind TEXT NOT NULL,
    label TEXT NOT NULL, version TEXT
) STRICT""",
    "requires": """CREATE TABLE requires (
    id INTEGER PRIMARY KEY, package TEXT NOT NULL, part TEXT, kind TEXT NOT NULL,
    label TEXT NOT NULL, minversion TEXT, maxversion TEXT, optional INTEGER NOT NULL
) STRICT""",
    "libraries": """CREATE TABLE libraries (
    path TEXT NOT NULL PRIMARY KEY, package TEXT NOT NULL, part TEXT, soname TEXT NOT NULL
) STRICT, WITHOUT ROWID""",
    "librarydeps": """CREATE TABLE librarydeps (
    path TEXT NOT NULL, soname TEXT NOT NULL, package TEXT NOT NULL, part TEXT,
    PRIMARY KEY (path, soname)
) STRICT, WITHOUT ROWID""",
    "elf": """CREATE TABLE elf (
    sha256 BLOB NOT NULL PRIMARY KEY, type TEXT NOT NULL, machine TEXT NOT NULL, soname TEXT,
    interpreter TEXT, build_id BLOB
) STRICT, WITHOUT ROWID""",
    "packagegroups": """CREATE TABLE packagegroups (
    package TEXT NOT NULL, "group" TEXT NOT NULL, PRIMARY KEY (package, "group")
) STRICT, WITHOUT ROWID""",
    "licenses": """CREATE TABLE licenses (
    package TEXT NOT NULL, license TEXT NOT NULL, PRIMARY KEY (package, license)
) STRICT, WITHOUT ROWID""",
    "parameters": """CREATE TABLE parameters (
    package TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, "default" TEXT, minimum TEXT,
    maximum TEXT, choices TEXT, least INTEGER NOT NULL, most INTEGER NOT NULL, section TEXT,
    description TEXT, site INTEGER NOT NULL, restart INTEGER NOT NULL,
    PRIMARY KEY (package, name)
) STRICT, WITHOUT ROWID""",
    "tags": """CREATE TABLE tags (
    package TEXT NOT NULL, path TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (package, path, tag)
) STRICT, WITHOUT ROWID""",
    "members": """CREATE TABLE members (
    package TEXT NOT NULL, member TEXT NOT NULL, uuid TEXT NOT NULL, release INTEGER NOT NULL,
    digest BLOB NOT NULL, required INTEGER NOT NULL, PRIMARY KEY (package, member)
) STRICT, WITHOUT ROWID""",
}
"""What people read: the tables of the founding document."""

TABLES: Final = {**HOST, **PEOPLE}
DERIVED: Final = tuple(name for name in PEOPLE if name not in ("libraries", "librarydeps", "elf"))
"""Those that follow from the lines; the others from contents."""
