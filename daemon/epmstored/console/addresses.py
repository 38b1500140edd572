"""Addresses of the console's pages. Pure.

A path of an application is one parameter, in the form of epmstore/relpath.py, so that names of any
bytes come back as they were.
"""

from urllib.parse import quote, urlencode

from epmstore.relpath import to_json


def of_app(key: str, **query: object) -> str:
    return _with(f"/apps/{quote(key, safe='')}", query)


def of_version(key: str, version: int, **query: object) -> str:
    return _with(f"/apps/{quote(key, safe='')}/versions/{version}", query)


def of_file(key: str, version: int, path: str) -> str:
    """What became of a file in a version."""
    return _with(f"/apps/{quote(key, safe='')}/versions/{version}/file", {"path": to_json(path)})


def of_path(key: str, path: str) -> str:
    """All that a path ever was."""
    return _with(f"/apps/{quote(key, safe='')}/path", {"path": to_json(path)})


def of_back(key: str, **query: object) -> str:
    """The plan of going back."""
    return _with(f"/apps/{quote(key, safe='')}/back", query)


def of_job(key: str, job: str) -> str:
    return f"/apps/{quote(key, safe='')}/jobs/{job}"


def of_search(text: str) -> str:
    return _with("/search", {"q": text})


def _with(place: str, query: dict[str, object]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"{place}?{urlencode(given)}" if given else place
