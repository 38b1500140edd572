"""Errors that only the API has, and which HTTP status an error becomes.

Every error of the API has the shape `error` of docs/json.md, whatever layer noticed it.
"""

from http import HTTPStatus
from typing import ClassVar

from epmstore.errors import (
    BusyError,
    ConflictError,
    DiskFullError,
    EpmError,
    InvalidNameError,
    NoStoreError,
    NotFoundError,
    UsageError,
)

PROTOCOL = 1
PROTOCOL_HEADER = "Epmstore-Protocol"


class Refusal(EpmError):
    """The request was not carried out, and changed nothing."""

    status: ClassVar[int] = HTTPStatus.BAD_REQUEST
    exit_code = 2
    code = "bad_request"


class ForbiddenError(Refusal):
    status = HTTPStatus.FORBIDDEN
    exit_code = 4
    code = "forbidden"


class UnknownPathError(Refusal):
    status = HTTPStatus.NOT_FOUND
    code = "no_such_path"


class MethodError(Refusal):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "method"


class VersionError(Refusal):
    status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED


class SlowError(Refusal):
    status = HTTPStatus.REQUEST_TIMEOUT
    exit_code = 4
    code = "timeout"


class TooLargeError(Refusal):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "too_large"


class HeadTooLargeError(Refusal):
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    code = "too_large"


class ContentTypeError(Refusal):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "content_type"


class ProtocolError(Refusal):
    status = HTTPStatus.BAD_REQUEST
    exit_code = 7
    code = "protocol"


_STATUS: tuple[tuple[type[EpmError], int], ...] = (
    (UsageError, HTTPStatus.BAD_REQUEST),
    (InvalidNameError, HTTPStatus.BAD_REQUEST),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ConflictError, HTTPStatus.CONFLICT),
    (BusyError, HTTPStatus.SERVICE_UNAVAILABLE),
    (NoStoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (DiskFullError, HTTPStatus.INSUFFICIENT_STORAGE),
)


def status_of(error: EpmError) -> int:
    """The HTTP status that says about the same."""
    if isinstance(error, Refusal):
        return int(error.status)
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return int(status)
    return int(HTTPStatus.INTERNAL_SERVER_ERROR)
