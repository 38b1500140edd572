"""Small files beside a payload, for people and other programs.

The first word of each is the digest in hex, or the size in decimal; the digests are lines that
`sha256sum -c` reads.
"""

from epmstore.publish.payload import PayloadFile


def sidecars(payload: PayloadFile, signature: bytes | None) -> dict[str, bytes]:
    """What is in each, by its suffix; `.asc` if there is a signature."""
    found = {
        ".MD5": f"{payload.md5}  {payload.name}\n".encode(),
        ".SHA1": f"{payload.sha1}  {payload.name}\n".encode(),
        ".SHA256": f"{payload.sha256}  {payload.name}\n".encode(),
        ".filesize": f"{payload.size}\n".encode(),
    }
    return found if signature is None else {**found, ".asc": signature}


SUFFIXES = (".asc", ".MD5", ".SHA1", ".SHA256", ".filesize")
