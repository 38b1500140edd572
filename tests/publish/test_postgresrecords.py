"""Records in PostgreSQL: the contract, and what is said where it fails."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from epmstore.errors import ConflictError, EpmError, UsageError
from epmstore.publish.buildrecords import BuildRecords
from epmstore.publish.desk import begin_spool, open_records
from epmstore.publish.spoolfolder import SpoolFolder, SpoolSettings
from tests.kit.postgres import POSTGRES, postgres
from tests.publish.contract import DRAFT, ME, RecordsContract

psycopg = pytest.importorskip("psycopg")
pytestmark = pytest.mark.skipif(POSTGRES is None, reason="needs postgres (postgresql-15)")
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """A schema of its own in it."""
    name = f"spool{next(NUMBERS)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{server}&options=-csearch_path%3D{name}"


def opened(url: str) -> Any:
    return open_records(SpoolFolder(Path("/spool"), SpoolSettings("/depot", database=url)))


class TestPostgresRecords(RecordsContract):
    @pytest.fixture
    def pair(self, url: str) -> Iterator[tuple[BuildRecords, BuildRecords]]:
        with closing(opened(url)) as one, closing(opened(url)) as two:
            yield one, two


def test_locks_and_what_was_not_committed_end_with_the_connection(server: str, url: str) -> None:
    with closing(opened(url)) as one, closing(opened(url)) as two:
        one.add(DRAFT, ME, 1.0)
        with pytest.raises(EpmError, match="cannot be used"), one.alone(1):
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                )
            one.get(1)
        with two.alone(1):
            assert two.get(1).number == 1


def test_a_server_that_is_not_heard_of_is_given_up(url: str) -> None:
    with closing(opened(url)) as records:
        said = records._database._connection.info.get_parameters()
        assert (said["keepalives_idle"], said["tcp_user_timeout"]) == ("30", "60000")


def test_spools_in_one_database_do_not_wait_for_each_other(server: str, url: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA another")
    other = f"{server}&options=-csearch_path%3Danother"
    with closing(opened(url)) as one, closing(opened(other)) as two, one.alone(), two.alone():
        assert two.add(DRAFT, ME, 1.0).number == one.add(DRAFT, ME, 1.0).number == 1


def test_a_payload_of_many_gigabytes_has_room_in_its_record(url: str) -> None:
    with closing(opened(url)) as records:
        build = records.add(DRAFT, ME, 1_790_000_000.123456)
        changed = msgspec.structs.replace(build, size=6 << 40, error="ä\n?%s")
        assert records.change(changed, ME, 2.5, "100%") == records.get(1)


def test_records_of_another_spool_are_not_taken(url: str, tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    settings = SpoolSettings(str(tmp_path / "srv"), database=url)
    spool = begin_spool(tmp_path / "spool", settings)
    with closing(open_records(spool)) as records:
        records.add(DRAFT, ME, 1.0)
    assert begin_spool(tmp_path / "spool", settings) == spool
    with pytest.raises(ConflictError, match="another spool"):
        begin_spool(tmp_path / "other", settings)
    assert not (tmp_path / "other").exists()


def test_a_database_that_is_not_there_is_named_with_what_helps() -> None:
    with pytest.raises(EpmError, match="not reached") as caught:
        opened("postgresql://epm:secret@127.0.0.1:1/none")
    assert "psql" in (caught.value.hint or "") and "secret" not in caught.value.message
    with pytest.raises(UsageError):
        opened("mysql://host/none")
