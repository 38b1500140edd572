from epmstore.digest import BlobInfo, Digest, identify
from epmstore.record.collisions import CollisionFilter


def test_only_contents_that_differ_collide() -> None:
    met = CollisionFilter()
    contents = [identify(b"%d" % number) for number in range(3000)]
    met.add(contents)
    met.add(contents)
    assert not met.may_collide()
    one, two = contents[:2]
    met.add([BlobInfo(one.digest, two.sha256, one.size)])
    assert met.may_collide()


def test_a_doubt_is_one_too() -> None:
    """Who looks closer sees that these have two addresses."""
    met = CollisionFilter()
    one, two = identify(b"1"), identify(b"2")
    met.add([one, BlobInfo(Digest(one.digest[:19] + b"?"), two.sha256, 1)])
    assert met.may_collide()
