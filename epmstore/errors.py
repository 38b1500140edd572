"""Every error that epmstore raises on purpose, as one tree.

EpmError                    exit 4    the operation failed: DiskFullError, HookError, LimitError,
                                      UnreadableError
  UsageError                exit 2    bad arguments or configuration
  IncompleteError           exit 3    done in part; the rest is named
  NotFoundError             exit 5    AppNotFoundError, VersionNotFoundError, PathNotFoundError,
                                      BlobNotFoundError, NotRestorableError
  DamagedError              exit 6    bytes on disk are not what was written: TornError,
                                      DigestMismatchError, InvalidNameError, BadCatalogError,
                                      BadPackageError
  ConflictError             exit 7    CollisionError, ChangedError, RootError, InUseError,
                                      ForkError, NeedsError, ForeignError
  TrustError                exit 8    BadSignatureError, UntrustedError, OlderError
  NoSolutionError           exit 9    what is asked for cannot be: UnsolvedError
  NoStoreError              exit 10   no store here, or none that this release understands
  BusyError                 exit 11   another process holds the lock
  RemoteError               exit 12   a remote failed: RemoteTransientError (RemoteBusyError),
                                      RemoteDeniedError, RemoteFullError, RemoteReadOnlyError,
                                      RemoteNotFoundError, RemoteChangedError, BadObjectError,
                                      RemoteHeadError

Rules: an error carries data, not only prose; `hint` names the remedy; `code` is the stable name
that `--json` shows. Foreign exceptions are translated where they enter. Exit code 1 means
"differences found" and is never an error.
"""

from typing import Any, ClassVar


class EpmError(Exception):
    """An operation failed. `data` holds the facts, `hint` one sentence on what to do about it."""

    exit_code: ClassVar[int] = 4
    code: ClassVar[str] = "failed"

    def __init__(self, message: str, *, hint: str | None = None, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.data = data


class DiskFullError(EpmError):
    code = "disk_full"


class LimitError(EpmError):
    """This process or host has no more of what it may have; `data["limit"]` says of what. It says
    nothing about what was being looked at.
    """

    code = "limit"


class HookError(EpmError):
    """A command that stops, starts or checks an application failed. `data["report"]` are lines that
    say what happened, one after the other; `hint` says what state everything is in.
    """

    code = "hook"


class UnreadableError(EpmError):
    """What was to be written is something that our own reader would refuse: it was not written."""

    code = "unreadable"

    def __init__(self, what: str, why: str) -> None:
        super().__init__(
            f"{what} was not written, because it could not be read again: {why}",
            hint="this is a fault of epmstore; what is stored is as it was before",
        )


class UsageError(EpmError):
    exit_code = 2
    code = "usage"


class IncompleteError(EpmError):
    exit_code = 3
    code = "incomplete"


class NotFoundError(EpmError):
    exit_code = 5
    code = "not_found"


class AppNotFoundError(NotFoundError):
    code = "app_not_found"


class VersionNotFoundError(NotFoundError):
    code = "version_not_found"


class PathNotFoundError(NotFoundError):
    code = "path_not_found"


class BlobNotFoundError(NotFoundError):
    code = "blob_not_found"


class NotRestorableError(NotFoundError):
    """The version is known, its contents are not kept any more (or are lost)."""

    code = "not_restorable"


class DamagedError(EpmError):
    """Stored bytes are not the bytes that were written. Never retried."""

    exit_code = 6
    code = "damaged"


class OutdatedIndexError(DamagedError):
    """The index was made by an earlier release: nothing is lost, it is to be made anew."""


class TornError(DamagedError):
    """The bytes end before the record does: what a crash in the middle of an append leaves."""

    code = "torn"


class DigestMismatchError(DamagedError):
    code = "digest_mismatch"


class InvalidNameError(DamagedError):
    """A path that no tree may hold (empty, absolute, `..`, NUL, too long)."""

    code = "invalid_name"


class BadCatalogError(DamagedError):
    """A catalog from elsewhere is not one; `line` says where."""

    code = "bad_catalog"


class BadPackageError(DamagedError):
    """A package from elsewhere is not one; the message says why."""

    code = "bad_package"


class ConflictError(EpmError):
    exit_code = 7
    code = "conflict"


class CollisionError(ConflictError):
    """Two contents with one SHA-1."""

    code = "collision"


class ChangedError(ConflictError):
    """Something changed between looking and acting."""

    code = "changed"


class RootError(ConflictError):
    """The root is not the directory that was registered, or may not be used as one."""

    code = "root"


class UnreadableRootError(RootError):
    """The root is there, as far as can be told, and cannot be looked at."""

    code = "root_unreadable"


class InUseError(ConflictError):
    """Processes hold paths that a plan would replace."""

    code = "in_use"


class ForkError(ConflictError):
    """Two catalogs of one application have the same release with another content; or two hosts sign
    with one key.
    """

    code = "fork"


class ForeignError(ConflictError):
    """Others own a place, or may write there, and what is in it would be believed."""

    code = "foreign"


class NeedsError(ConflictError):
    """What a release needs is not there."""

    code = "needs"


class TrustError(EpmError):
    """Who made something is not who may, or it cannot be told."""

    exit_code = 8
    code = "trust"


class BadSignatureError(TrustError):
    """A signature is there, and it is not one of these bytes."""

    code = "bad_signature"


class UntrustedError(TrustError):
    """The signature that is wanted is missing, or made by a key that is not trusted."""

    code = "untrusted"


class OlderError(TrustError):
    """What came is older than what is here: nothing ever goes back."""

    code = "older"


class NoSolutionError(EpmError):
    """Nothing meets what is asked for. `data["derivation"]` says why, step by step, and
    `data["helps"]` are commands and options with which something would.
    """

    exit_code = 9
    code = "no_solution"


class UnsolvedError(NoSolutionError):
    """Whether something meets what is asked for was not found out within the limits."""

    code = "unsolved"


class NoStoreError(EpmError):
    exit_code = 10
    code = "no_store"


class BusyError(EpmError):
    exit_code = 11
    code = "busy"


class RemoteError(EpmError):
    """A remote failed. Nothing that is recorded on this host depends on one."""

    exit_code = 12
    code = "remote"


class RemoteTransientError(RemoteError):
    """It may be otherwise in a while: what is retried, and nothing else is."""

    code = "remote_transient"


class RemoteBusyError(RemoteTransientError):
    """The remote asks for less. `data["after"]` are seconds to wait, if it says so."""

    code = "remote_busy"


class RemoteDeniedError(RemoteError):
    """Who we are, or who the remote is, is not accepted: never retried by itself."""

    code = "remote_denied"


class RemoteFullError(RemoteError):
    code = "remote_full"


class RemoteReadOnlyError(RemoteError):
    """Nothing can be written or listed there, by any user."""

    code = "remote_read_only"


class RemoteNotFoundError(RemoteError):
    """No object has this name there."""

    code = "remote_not_found"


class RemoteChangedError(RemoteError):
    """What was to be replaced is not what was expected: another writer replaced it."""

    code = "remote_changed"


class BadObjectError(RemoteError):
    """What a remote gave is not what its name says, or is nothing that belongs there."""

    code = "remote_bad_object"


class RemoteHeadError(RemoteError):
    """The head of a writer is not what is remembered of it; `data["fault"]` says how."""

    code = "remote_head"
