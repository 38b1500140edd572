"""Packages of Debian's kind, as small as a test wants them."""

import io
import tarfile
from collections.abc import Mapping


def tar(files: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as made:
        for path, content in files.items():
            info = tarfile.TarInfo(f"./{path}")
            info.size, info.mode = len(content), 0o755 if "bin/" in path else 0o644
            made.addfile(info, io.BytesIO(content))
    return data.getvalue()


def deb(control: str, files: Mapping[str, bytes], also: Mapping[str, bytes] | None = None) -> bytes:
    """`also` lies beside its control file: conffiles, scripts."""
    about = tar({"control": control.encode(), **(also or {})})
    made = [b"!<arch>\n"]
    parts = {"debian-binary": b"2.0\n", "control.tar": about, "data.tar": tar(files)}
    for name, data in parts.items():
        made += [f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode(), data]
        made += [b"\n"] if len(data) % 2 else []
    return b"".join(made)
