"""What a deb says, in our words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.clock import FixedClock
from epmstore.errors import UsageError
from epmstore.package.debs import deb_version, read_deb
from epmstore.package.inspection import look
from epmstore.package.ranges import parse_need
from epmstore.package.repackaging import DebOptions, from_deb
from epmstore.package.versions import compare
from epmstore.progress import SILENT
from epmstore.refcat.archives import DebControl
from tests.kit.debs import deb
from tests.kit.elves import PROGRAM, elf

CONTROL = """\
Package: web
Version: 1:1.22.1-9+deb12u2
Architecture: amd64
Maintainer: Jane Roe <jane@example.org>
Depends: libpq5 (>= 15~), libc6 (>= 2.34), web-common (<< 1.23) [amd64],
 debconf (>= 0.5) | debconf-2.0, g++
Conflicts: web, web-full
Breaks: web-mod (<= 1.2-1)
Provides: httpd, web-abi (= 1.22.1-1)
Section: web
Homepage: https://web.example.org/
Description: serves pages
 Of several
 .
 paragraphs.
"""
FILES = {
    "etc/web/web.conf": b"port = 80\n",
    "usr/bin/webd": elf(kind=PROGRAM, needed=["libpq.so.5", "libc.so.6"]),
    "var/lib/web/db": b"",
}
ALSO = {"conffiles": b"/etc/web/web.conf\n", "postinst": b"exit 1\n", "md5sums": b""}
VERSIONS = (
    "1.0~rc1-1", "1.0-1", "1.0-1+b1", "1.0-2~bpo1", "1.0-2", "1.0-10", "1.0a-1", "1.0+dfsg-1",
    "1.0.1-1", "1.1-1",
)  # fmt: skip
"""As Debian orders them."""


def control(text: str) -> DebControl:
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    return DebControl(fields.get("Package", ""), fields.get("Version", ""), (), fields)


def test_a_deb_becomes_a_candidate(tmp_path: Path) -> None:
    file = tmp_path / "web.deb"
    file.write_bytes(deb(CONTROL, FILES, ALSO))
    options = DebOptions(root="/opt/web", state=("var/lib/",))
    done, said = from_deb(file, tmp_path, options, FixedClock(), SILENT)
    assert said.left_out == (
        "Depends: debconf (>= 0.5) | debconf-2.0",
        "Depends: g++",
        "script: postinst",
    )
    assert done.path.name == "web-1.22.1^9+deb12u2-1.candidate.epkg"
    release = look(done.path, tmp_path, SILENT).release
    package = release.package
    assert (package.summary, package.description) == ("serves pages", "Of several\n\nparagraphs.")
    assert (package.architecture, package.groups, package.root) == ("x86_64", ("web",), "/opt/web")
    assert [one.product for one in package.requires] == ["web-common", None, None]
    assert package.requires[0] == parse_need("web-common<1.23?")
    assert [one.soname for one in package.requires[1:]] == ["libc.so.6", "libpq.so.5"]
    assert package.conflicts == (parse_need("web-full"), parse_need("web-mod<=1.2^1"))
    assert [(o.capability, o.version) for o in package.provides] == [
        ("httpd", None),
        ("web-abi", "1.22.1^1"),
    ]
    classes = {str(one.path): one.path_class for one in release.entries}
    assert classes["etc/web/web.conf"] == "config" and "var/lib/web/db" not in classes


def test_dependencies_may_have_to_be_there(tmp_path: Path) -> None:
    file = tmp_path / "web.deb"
    file.write_bytes(deb(CONTROL, FILES, ALSO))
    options = DebOptions(needed=True, below="usr", product="pages", build=3)
    done, _ = from_deb(file, tmp_path, options, FixedClock(), SILENT)
    release = look(done.path, tmp_path, SILENT).release
    assert done.path.name == "pages-1.22.1^9+deb12u2-3.candidate.epkg"
    assert [one.path for one in release.entries if one.kind == "file"] == ["bin/webd"]
    assert not any(one.optional for one in release.package.requires)
    assert [one.product for one in release.package.requires][:2] == ["libpq5", "libc6"]


@given(st.sampled_from(VERSIONS), st.sampled_from(VERSIONS))
def test_versions_are_ordered_as_debian_orders_them(one: str, two: str) -> None:
    wanted = VERSIONS.index(one) - VERSIONS.index(two)
    found = compare(deb_version(one), deb_version(two))
    assert (found > 0) == (wanted > 0) and (found < 0) == (wanted < 0)


@pytest.mark.parametrize("text", ["Package: G++", "Package: ../x\nVersion: 1", "Version: 1"])
def test_names_that_are_no_keys_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no key of a product"):
        read_deb(control(text))


@pytest.mark.parametrize("version", ["", "1 2", "-1", "1\u202e2", "9" * 65])
def test_versions_that_are_none_are_refused(version: str) -> None:
    with pytest.raises(UsageError, match="is no version"):
        read_deb(DebControl("web", version))


@given(st.dictionaries(st.sampled_from(["Depends", "Breaks", "Provides", "Section", "Homepage",
       "Description", "Maintainer", "Architecture"]), st.text(max_size=60)))  # fmt: skip
def test_whatever_fields_say_they_are_read(fields: dict[str, str]) -> None:
    said = read_deb(DebControl("web", "1", (), fields))
    assert said.package.version == "1"
