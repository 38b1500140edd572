"""docs/formats/package.schema.json, made from the structs of epmstore/catalog/packaging.py.

`python -m epmstore.cli.schema FILE` writes it.
"""

import sys
from pathlib import Path

import msgspec

from epmstore.atomic import replace_file
from epmstore.catalog.packaging import Package


def render() -> bytes:
    """The whole document."""
    found = msgspec.json.schema(Package)
    for one in found["$defs"].values():
        one["description"] = " ".join(one["description"].split())
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The key `package` of a release",
        **found,
    }
    return msgspec.json.format(msgspec.json.encode(schema, order="deterministic"), indent=2) + b"\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m epmstore.cli.schema FILE")
    replace_file(Path(sys.argv[1]), render(), 0o644)
