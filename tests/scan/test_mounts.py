import os

from epmstore.scan.mounts import below, mounted_below

TABLE = rb"""22 27 0:21 / / rw,relatime - ext4 /dev/vda rw
23 22 0:22 / /opt/app rw - tmpfs none rw
24 23 0:23 / /opt/app/with\040space rw - tmpfs none rw
25 23 0:23 /etc /opt/app/back\134slash\011tab\012line rw - tmpfs none rw
26 22 0:24 / /opt/application rw - tmpfs none rw
"""


def test_what_is_below_a_root() -> None:
    assert below(b"/opt/app", TABLE) == {"with space", "back\\slash\ttab\nline"}
    assert "opt/app" in below(b"/", TABLE)
    assert below(b"/srv", TABLE) == frozenset()


def test_escapes_are_not_escaped_twice() -> None:
    assert below(b"/a", rb"1 2 0:1 / /a/x\134040y rw - t s rw") == {"x\\040y"}


def test_the_real_table() -> None:
    fd = os.open("/", os.O_RDONLY)
    try:
        assert "proc" in mounted_below(fd)
    finally:
        os.close(fd)
