"""Detached OpenPGP signatures, as `gpg --armor --detach-sign` makes and `gpg --verify` reads them.

The only file that imports an OpenPGP library. Rules: a key is what its bytes are (the fingerprint),
never what it is called; a key that is revoked or has run out vouches for nothing, whenever the
signature says that it was made; what cannot be understood is a bad signature and never none.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
import pysequoia
from pysequoia import Cert, PySigner, Sig, SignatureMode, Tsk, sign, verify
from pysequoia.packet import PacketPile, SignatureType, Tag

from epmstore.errors import BadSignatureError, UntrustedError, UsageError

LIMIT = 1 << 20
"""Bytes of a signature or a key."""
Fingerprint: TypeAlias = str
_SECRET = b"PRIVATE KEY BLOCK"


class PublicKey(msgspec.Struct, frozen=True):
    """A public key: its fingerprint, who it says that it is, and whether it still counts.
    `expires` in seconds since 1970. `only` are the catalogs (keys or UUIDs of applications) that it
    may vouch for; none means all.
    """

    fingerprint: Fingerprint
    names: tuple[str, ...]
    data: bytes
    revoked: bool = False
    expires: float | None = None
    only: tuple[str, ...] = ()

    def may_sign(self, app: str, key: str) -> bool:
        """Whether it may vouch for the catalog of an application (UUID and key)."""
        return not self.only or app in self.only or key in self.only

    def why_not(self, now: float) -> str | None:
        """Why it vouches for nothing (any more); None if it does."""
        if self.revoked:
            return "it is revoked"
        if self.expires is not None and self.expires <= now:
            return f"it ran out on {time.strftime('%Y-%m-%d', time.gmtime(self.expires))}"
        return None


def read_key(data: bytes) -> PublicKey:
    """A public key, armored or not. Raises UsageError for anything else, and for a secret one."""
    if _SECRET in data or _has_secret_packets(data):
        raise UsageError(
            "this is a secret key: only the public one belongs here",
            hint="gpg --armor --export KEY writes it",
        )
    try:
        cert = Cert.from_bytes(data)
        expires = cert.expiration  # raises if nothing binds the key to who it says that it is
        return PublicKey(
            fingerprint=cert.fingerprint.lower(),
            names=tuple(str(user) for user in cert.user_ids),
            data=data,
            revoked=bool(cert.is_revoked),
            expires=None if expires is None else expires.timestamp(),
        )
    except (RuntimeError, ValueError, OverflowError):
        raise UsageError(
            "this is no OpenPGP key", hint="gpg --armor --export KEY writes one"
        ) from None


def _has_secret_packets(data: bytes) -> bool:
    try:
        return any(packet.tag == Tag.SecretKey for packet in PacketPile.from_bytes(data))
    except (RuntimeError, ValueError):
        return False


def check_signature(
    data: bytes | Path, signature: bytes, keys: Sequence[PublicKey], now: float
) -> PublicKey:
    """The key that vouches for `data`, or for what is in a file. Raises BadSignatureError,
    UntrustedError.
    """
    try:
        parsed = Sig.from_bytes(signature)
        issuer = (parsed.issuer_fingerprint or parsed.issuer_key_id or "").lower()
    except (RuntimeError, ValueError):
        raise BadSignatureError("the signature cannot be read", hint=_ASK) from None
    usable = [key for key in keys if key.why_not(now) is None]
    found = _verified(data, parsed, usable)
    if found is not None:
        key, signer = found
        why = _why_not_subkey(key, signer, now)
        if why is not None:
            raise _untrusted(signer, why)
        return key
    named = next((key for key in keys if _may_be(key, issuer)), None)
    if named is None:
        raise UntrustedError(
            f"it is signed by a key that is not trusted: {issuer or 'nobody says which'}",
            hint="if that is its vendor's: `epmstore catalog trust FILE` with the public key",
            fingerprint=issuer,
        )
    why = named.why_not(now)
    if why is not None:
        raise _untrusted(named.fingerprint, why)
    raise BadSignatureError(
        f"the signature by {named.fingerprint} is not one of these bytes",
        hint=f"{_ASK} (a key that was renewed since has to sign anew)",
    )


def _untrusted(fingerprint: Fingerprint, why: str) -> UntrustedError:
    return UntrustedError(
        f"it is signed by {fingerprint}, and of that key {why}",
        hint="`epmstore catalog trust FILE` with the key that its vendor uses now",
        fingerprint=fingerprint,
    )


def make_key(name: str) -> tuple[bytes, bytes]:
    """A new secret key, which is open and does not expire, and its public one (armored)."""
    secret = Tsk.generate(name)
    return bytes(secret), str(secret.extract_certificate()).encode()


def make_signature(data: bytes, secret: bytes) -> bytes:
    """An armored detached signature. Raises UsageError for what is no secret key that is open."""
    with _signer(secret) as signer:
        return bytes(sign(signer, data, mode=SignatureMode.DETACHED))


def sign_file(path: Path, target: Path, secret: bytes) -> None:
    """The same, of what is in a file of any size, into a file. Raises UsageError, OSError."""
    with _signer(secret) as signer:
        pysequoia.sign_file(signer, str(path), str(target), mode=SignatureMode.DETACHED)


@contextlib.contextmanager
def _signer(secret: bytes) -> Iterator[PySigner]:
    try:
        yield Tsk.from_bytes(secret).signer()
    except (RuntimeError, ValueError, TypeError):
        raise UsageError(
            "this is no secret key that can sign, or it has a passphrase",
            hint="gpg can sign instead: gpg --armor --detach-sign FILE",
        ) from None


_ASK = "nothing was changed; ask its vendor for the catalog and its signature again"


def _verified(
    data: bytes | Path, signature: Sig, keys: Sequence[PublicKey]
) -> tuple[PublicKey, Fingerprint] | None:
    """The one of these keys that made the signature, over these bytes, and which of its subkeys."""
    if not keys:
        return None
    certs = [Cert.from_bytes(key.data) for key in keys]
    try:
        if isinstance(data, Path):
            found = verify(file=str(data), store=lambda _: certs, signature=signature)
        else:
            found = verify(bytes=data, store=lambda _: certs, signature=signature)
    except (RuntimeError, ValueError):
        return None
    signers = {one.certificate.lower(): one.signing_key.lower() for one in found.valid_sigs}
    return next(((k, signers[k.fingerprint]) for k in keys if k.fingerprint in signers), None)


def _why_not_subkey(key: PublicKey, subkey: Fingerprint, now: float) -> str | None:
    """Why a subkey vouches for nothing any more. The library asks whether it did when the signature
    says that it was made, and the owner of an old key can say what he likes.
    """
    created = bound = expires = 0.0
    within = False
    for packet in PacketPile.from_bytes(bytes(Cert.from_bytes(key.data))):
        if packet.key_created is not None:
            within = packet.fingerprint == subkey != key.fingerprint
            created = packet.key_created.timestamp()
        elif within and packet.signature_type == SignatureType.SubkeyRevocation:
            return "it is revoked"
        elif within and packet.signature_type == SignatureType.SubkeyBinding:
            said = packet.signature_created.timestamp() if packet.signature_created else 0.0
            if said >= bound:
                valid = packet.key_validity_period
                bound, expires = said, created + valid.total_seconds() if valid else 0.0
    return PublicKey(subkey, (), b"", expires=expires or None).why_not(now)


def _may_be(key: PublicKey, issuer: str) -> bool:
    """Whether the issuer that a signature names is a key, or a subkey of it."""
    packets = PacketPile.from_bytes(bytes(Cert.from_bytes(key.data)))
    found = {packet.fingerprint for packet in packets} | {packet.key_id for packet in packets}
    return issuer in {text.lower() for text in found if text}
