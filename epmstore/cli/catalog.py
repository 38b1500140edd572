"""Commands for catalogs on the move: catalog export, import, verify, clone, trust."""

import io
import os
from pathlib import Path

import click

from epmstore import codec
from epmstore.atomic import read_named, replace_file
from epmstore.cli.command import PATH, command
from epmstore.cli.findings import named, withdrawn
from epmstore.cli.output import counted, name, size
from epmstore.cli.session import Session
from epmstore.errors import ConflictError, NotFoundError, UsageError
from epmstore.refcat.interchange import SUFFIX, Incoming
from epmstore.refcat.releases import NO_REASON
from epmstore.refcat.signature import LIMIT, PublicKey
from epmstore.workspace import shapes
from epmstore.workspace.catalogs import Imported

PUBLIC = 0o644


def signer_text(key: PublicKey | None) -> str:
    if key is None:
        return "not signed"
    who = f" ({name(key.names[0])})" if key.names else ""
    return f"signed by {key.fingerprint}{who}"


def key_shape(key: PublicKey, now: float) -> shapes.Shape:
    return {
        "type": "key",
        "app": None,
        "fingerprint": key.fingerprint,
        "names": list(key.names),
        "valid": key.why_not(now) is None,
        "why": key.why_not(now),
        "only": list(key.only),
    }


@command(
    changes=True,
    examples=[
        ("epmstore catalog export crm", "the catalog as JSON lines, on standard output"),
        ("epmstore catalog export crm crm.refcat --sign vendor.key", "with crm.refcat.asc"),
        ("epmstore catalog export crm crm.refcat.zst", "compressed"),
    ],
)
@click.option("--sign", metavar="KEYFILE", type=PATH, help="Sign it with this secret key.")
@click.argument("key")
@click.argument("file", required=False, type=PATH)
def export(session: Session, key: str, file: str | None, sign: str | None) -> None:
    """Write a catalog out, to be given to others.

    It is text: one JSON object a line, each of which names the SHA-256 of the line before. The
    signature is a detached OpenPGP one over the bytes of the file, which gpg --verify reads too.
    A file that is there is replaced only by a catalog that goes on from it, and one that is signed
    only by one that is signed.
    """
    if sign is not None and file is None:
        raise UsageError("--sign needs a FILE: the signature lies beside it")
    catalogs = session.workspace.catalogs
    if file is None:
        for line in catalogs.export(key):
            session.out.raw(line)
        return
    path = Path(os.path.abspath(file))
    lines = list(catalogs.export(key))
    plain = b"".join(lines)
    _check_goes_on(path, plain)
    data = codec.compress(plain) if path.suffix == ".zst" else plain
    beside = path.with_name(path.name + SUFFIX)
    signature = None if sign is None else catalogs.sign(data, _read_key(sign))
    if signature is None:
        _check_signature_holds(beside, path, data)
    if not session.dry_run:
        replace_file(path, data, PUBLIC)
        if signature is not None:
            replace_file(beside, signature, PUBLIC)
    releases = session.workspace.vendors.releases(key)
    latest = releases.latest()
    shape = {
        "type": "exported",
        "app": key,
        "file": shapes.text(str(path)),
        "release": None if latest is None else latest.version,
        "head": releases.head(),
        "lines": len(lines),
        "bytes": len(data),
        "signed": signature is not None,
        "dry_run": session.dry_run,
    }
    would = "would write" if session.dry_run else "wrote"
    upto = "no release" if latest is None else f"up to release {name(latest.title)}"
    signed = ", signed" if signature is not None else ""
    session.out.outcome(
        shape, f"{key}: {would} the catalog {upto} to {name(file)}, {size(len(data))}{signed}"
    )


def _check_goes_on(path: Path, plain: bytes) -> None:
    """Raises ConflictError rather than replace what is no earlier form of the same catalog."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return
    if path.suffix == ".zst":
        found = codec.open_stream(io.BytesIO(found)).read()
    if not plain.startswith(found):
        raise ConflictError(
            f"{path} is there, and is no earlier form of this catalog",
            hint="write to another file, or remove it",
            file=str(path),
        )


def _check_signature_holds(signature: Path, path: Path, data: bytes) -> None:
    """Raises ConflictError rather than leave a signature beside what it was not made for."""
    if not signature.exists() or (path.exists() and path.read_bytes() == data):
        return
    raise ConflictError(
        f"{signature} is there, and would not hold for what is written now",
        hint="sign anew with --sign, or remove it",
        file=str(signature),
    )


def _read_key(text: str) -> bytes:
    try:
        return read_named(Path(text), LIMIT)
    except FileNotFoundError:
        raise NotFoundError(f"{name(text)} is not there") from None


signature_option = click.option(
    "--signature", metavar="FILE", type=PATH, help="Its signature, if that is not FILE.asc."
)
unsigned_option = click.option(
    "--allow-unsigned", is_flag=True, help="Even if it came signed before."
)


@command(
    changes=True,
    examples=[
        ("epmstore catalog import crm.refcat", "with crm.refcat.asc, if that is there"),
        ("epmstore catalog import crm-4.1.0-1.epkg", "a package: with the contents of its release"),
        ("epmstore catalog import crm.refcat --app crm-test", "for an application of another key"),
        ("epmstore catalog import crm.refcat --signer 0123456789ABCDEF", "its vendor's new key"),
    ],
)
@signature_option
@unsigned_option
@click.option(
    "--signer", metavar="FINGERPRINT", help="Who signs it from now on, if not who did before."
)
@click.option("--app", "app", metavar="KEY", help="The application that it is for.")
@click.argument("file", type=PATH)
def import_(
    session: Session,
    file: str,
    signature: str | None,
    app: str | None,
    allow_unsigned: bool,
    signer: str | None,
) -> None:
    """Take over what is new of a vendor's catalog.

    FILE is a catalog, or a package (.epkg), of which the contents of its release come along.
    Everything is checked before anything changes: the signature, every line, and that the catalog
    goes on from the one that is here. It never goes back, and a release that is another one here is
    named and refused. Only a signature by a key that is trusted counts (epmstore catalog trust); a
    catalog that came signed once must be signed ever after, and by the same key unless --signer
    names another.
    """
    catalogs = session.workspace.catalogs
    path, signed = _source(file), None if signature is None else _source(signature)
    if session.dry_run:
        incoming = catalogs.check(
            path, signature=signed, allow_unsigned=allow_unsigned, signer=signer
        )
        _say_checked(session, file, incoming)
        return
    imported = catalogs.import_(
        path, signature=signed, app=app, allow_unsigned=allow_unsigned, signer=signer
    )
    _say_imported(session, imported)


def _source(text: str) -> Path:
    path = Path(os.path.abspath(text))
    if not path.exists():
        raise NotFoundError(f"{name(text)} is not there")
    if path.is_dir():
        raise UsageError(f"{name(text)} is a folder", hint="clone a store: epmstore catalog clone")
    return path


def imported_shape(imported: Imported) -> shapes.Shape:
    latest = imported.latest
    return {
        "type": "imported",
        "app": imported.about.key,
        "uuid": imported.about.app,
        "changed": imported.lines > 0,
        "before": imported.before,
        "release": None if latest is None else latest.version,
        "label": None if latest is None else latest.label,
        "signer": None if imported.signer is None else imported.signer.fingerprint,
        "bound": list(imported.bound),
        "revoked": [release.version for release in imported.revoked],
        "withdrawn": [{"digest": digest, "why": why} for digest, why in imported.withdrawn],
    }


def _say_imported(session: Session, imported: Imported) -> None:
    shape, text = imported_shape(imported), _imported_text(imported)
    if imported.contents is not None:
        shape = {**shape, "type": "arrived", "contents": imported.contents, "bytes": imported.size}
        text += f"; {counted(imported.contents, 'content')}, {size(imported.size)}"
    session.out.outcome(shape, text)
    _say_more(session, imported)


def _imported_text(imported: Imported) -> str:
    key, signer = imported.about.key, signer_text(imported.signer)
    if not imported.lines:
        return f"{key}: nothing new, {signer}"
    latest = imported.latest
    if latest is None:
        return f"{key}: catalog imported, without any release yet, {signer}"
    first = 0 if imported.before is None else imported.before + 1
    count = latest.version + 1 - first
    if not count:
        return f"{key}: {counted(imported.lines, 'record')} imported, no new release, {signer}"
    upto = name(latest.title)
    return f"{key}: {counted(count, 'release')} imported, up to {upto}, {signer}"


def _say_more(session: Session, imported: Imported) -> None:
    for key in imported.bound:
        session.out.note(f"{key} is compared with it from now on: epmstore verify --app {key}")
    for release in imported.revoked:
        of = f"{named(release)} of {imported.about.key}"
        session.out.warn(f"{of} is {withdrawn(release.revoked or NO_REASON)}")
    if imported.withdrawn:
        lines = [f"{digest} ({name(why)})" for digest, why in imported.withdrawn]
        title = f"components of {imported.about.key} that its vendor withdrew:"
        session.out.warn("\n".join([title, *session.out.some(lines)]))
        session.out.note("where they are: epmstore status, epmstore find SHA1")
    if imported.signer is None:
        session.out.warn(
            f"the catalog of {imported.about.key} is not signed: nobody vouches for it"
        )


@command(
    examples=[
        ("epmstore catalog verify crm.refcat", "everything that import would check"),
    ],
)
@signature_option
@click.argument("file", type=PATH)
def verify(session: Session, file: str, signature: str | None) -> None:
    """Check a catalog file, or a package, without importing it.

    The same checks as those of import, beside what is here; nothing changes.
    """
    signed = None if signature is None else _source(signature)
    incoming = session.workspace.catalogs.check(
        _source(file), signature=signed, allow_unsigned=True
    )
    _say_checked(session, file, incoming)


def _say_checked(session: Session, file: str, incoming: Incoming) -> None:
    releases = incoming.releases
    new = len(releases) - incoming.known
    shape = {
        "type": "checked",
        "app": incoming.about.key,
        "uuid": incoming.about.app,
        "file": shapes.text(file),
        "clean": True,
        "releases": len(releases),
        "new": new,
        "lines": incoming.end,
        "head": incoming.head,
        "signer": None if incoming.signer is None else incoming.signer.fingerprint,
    }
    session.out.outcome(
        shape,
        f"{name(file)}: a sound catalog of {incoming.about.key},"
        f" {counted(len(releases), 'release')}, {new:,} of them new here,"
        f" {signer_text(incoming.signer)}",
    )


@command(
    changes=True,
    examples=[
        ("epmstore catalog clone /mnt/releases crm", "the catalog alone"),
        ("epmstore catalog clone /mnt/releases crm --contents latest", "and what repair needs"),
    ],
)
@click.option(
    "--contents", metavar="RELEASE", multiple=True, help="Contents of this release, too; or all."
)
@unsigned_option
@click.argument("source", metavar="STORE", type=PATH)
@click.argument("key")
def clone(
    session: Session, source: str, key: str, contents: tuple[str, ...], allow_unsigned: bool
) -> None:
    """Take a catalog over from another store.

    STORE is a folder, perhaps a mounted one. Later clones take over what is new. With --contents,
    the files of a release come along: what repair and checkout of that release write.
    """
    place = Path(os.path.abspath(source))
    if session.dry_run:
        session.out.note(f"would clone {key} from {name(source)}")
        return
    cloned = session.workspace.catalogs.clone(
        place, key, contents=contents, allow_unsigned=allow_unsigned
    )
    shape = {
        **imported_shape(cloned.imported),
        "type": "cloned",
        "contents": cloned.contents,
        "bytes": cloned.size,
        "missing": cloned.missing,
    }
    text = _imported_text(cloned.imported)
    if contents:
        text += f"; {counted(cloned.contents, 'content')} copied, {size(cloned.size)}"
    session.out.outcome(shape, text)
    if cloned.missing:
        session.out.warn(f"{counted(cloned.missing, 'content')} are not in that store either")
    _say_more(session, cloned.imported)


@command(
    changes=True,
    examples=[
        ("epmstore catalog trust vendor.asc", "catalogs signed by this key count"),
        ("epmstore catalog trust vendor.asc --for crm", "the catalog of crm alone"),
        ("epmstore catalog trust", "the keys that count"),
        ("epmstore catalog trust --remove 0123456789ABCDEF", "this one does not any more"),
    ],
)
@click.option("--remove", metavar="FINGERPRINT", help="Trust a key no more.")
@click.option(
    "--for",
    "only",
    metavar="KEY",
    multiple=True,
    help="Only for the catalog of this application (key or UUID). Repeatable.",
)
@click.argument("file", required=False, type=PATH)
def trust(session: Session, file: str | None, remove: str | None, only: tuple[str, ...]) -> None:
    """List the keys that vouch for catalogs, or change them.

    FILE is a public key, as gpg --armor --export writes it. To renew a key, trust its newer form.
    """
    if remove is not None and (file is not None or only):
        raise UsageError("--remove takes a fingerprint only")
    if only and file is None:
        raise UsageError("--for needs the FILE of a key")
    catalogs = session.workspace.catalogs
    now = session.workspace.now()
    if file is None and remove is None:
        for key in catalogs.trusted():
            if session.json:
                session.out.shape(key_shape(key, now))
                continue
            session.out.line(_key_line(key, now))
        return
    if session.dry_run:
        session.out.note("would change the keys that are trusted")
        return
    if file is None:
        changed = catalogs.distrust(remove or "")
    else:
        changed = catalogs.trust(_read_key(file), only=only)
    word = "not trusted any more" if file is None else f"trusted{_alone(changed)}"
    shape = {**key_shape(changed, now), "trusted": file is not None}
    who = f" ({name(changed.names[0])})" if changed.names else ""
    session.out.outcome(shape, f"{changed.fingerprint}{who} {word}")


def _key_line(key: PublicKey, now: float) -> str:
    why = key.why_not(now)
    names = ", ".join(map(name, key.names))
    return f"{key.fingerprint}  {names}{_alone(key)}{f'  [{why}]' if why else ''}"


def _alone(key: PublicKey) -> str:
    return f" for {', '.join(map(name, key.only))} alone" if key.only else ""
