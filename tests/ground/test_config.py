"""One schema for file, environment and flags; unknown names are errors that suggest one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore import measures
from epmstore.catalog.retention import Policy
from epmstore.config import (
    KEYS,
    Config,
    RetentionConfig,
    environment_layer,
    file_layer,
    flag_layer,
    format_value,
    merge,
    variable,
)
from epmstore.errors import UsageError


def test_the_schema_is_the_structs() -> None:
    fields = [
        f"{section}.{name}"
        for section in Config.__struct_fields__
        for name in getattr(Config(), section).__struct_fields__
    ]
    assert list(KEYS) == fields


@pytest.mark.parametrize("key", KEYS)
def test_each_default_reads_back_from_what_is_shown(key: str) -> None:
    layer = environment_layer({variable(key): format_value(Config(), key)})
    assert merge([layer]).config == Config()


def test_retention_is_the_policy_of_forget() -> None:
    found = msgspec.structs.asdict(RetentionConfig())
    assert found.pop("enabled") is True
    assert found == msgspec.structs.asdict(Policy())


def test_later_layers_win_and_say_where_they_are_from() -> None:
    file = file_layer(b'[daemon]\nsettle = "5s"\nsettle_max = "2m"\nlog = "json"\n', "c.toml")
    environment = environment_layer({"EPMSTORE_DAEMON_SETTLE": "7s", "HOME": "/root"})
    settings = merge([file, environment, flag_layer({"daemon.log": "text", "daemon.poll": None})])
    daemon = settings.config.daemon
    assert (daemon.settle, daemon.settle_max, daemon.log) == (7.0, 120.0, "text")
    assert settings.origins["daemon.settle"] == "EPMSTORE_DAEMON_SETTLE"
    assert settings.origins["daemon.settle_max"] == "c.toml"
    assert settings.origins["daemon.log"] == "--log"
    assert settings.origins["daemon.poll"] == "default"


def test_off_is_no_limit() -> None:
    text = b'[store]\nmax_size = "10GiB"\nmin_free = "off"\n[care]\ndrill = false\n'
    config = merge([file_layer(text, "c.toml")]).config
    assert (config.store.max_size, config.store.min_free, config.care.drill) == (
        10 << 30,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[deamon]\n", "c.toml: there is no section [deamon]", "'daemon'"),
        ("[daemon]\nsetle = '2s'\n", "c.toml: there is no key 'setle' in [daemon]", "'settle'"),
        ("[daemon]\nsettle = 2\n", "c.toml: daemon.settle: 2 is no text", "with its unit"),
        ("[daemon]\nsettle = '2 s'\n", "'2 s' is not a duration", "30s"),
        ("[daemon]\nsettle = '0'\npoll = '0'\n", "daemon.poll must be more than 0", None),
        ("[daemon]\nsettle = '2m'\n", "is less than daemon.settle (2m)", "longest"),
        ("[daemon]\nlog = 'xml'\n", "neither 'text' nor 'json'", None),
        ("[daemon]\nmetrics = 'maybe'\n", "neither true nor false", None),
        ("[daemon]\ngroup = 'a b'\n", "no name of a group", None),
        ("[retention]\nkeep_last = -1\n", "-1 is no count", "from 0"),
        ("[retention]\nkeep_last = true\n", "True is no count", "from 0"),
        ("[store]\nmax_size = '10 gigs'\n", "'10 gigs' is not a size", "10GiB"),
        ("[care]\nfsck_percent = '101%'\n", "'101%' is no share", "at most 100%"),
        ("daemon = 1\n", "write [daemon]", None),
        ("[daemon\n", "c.toml: ", None),
        (f"a = {'[' * 20_000}", "c.toml: ", None),
    ],
)
def test_config_errors_name_the_setting(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as raised:
        merge([file_layer(text.encode(), "c.toml")])
    assert message in raised.value.message
    assert hint is None or hint in (raised.value.hint or "")


@pytest.mark.parametrize("name", ["EPMSTORE_DAEMON_SETTEL", "EPMSTORE_DEAMON_SETTLE"])
def test_a_misspelt_variable_is_no_silent_default(name: str) -> None:
    with pytest.raises(UsageError) as raised:
        environment_layer({name: "3s"})
    assert name in raised.value.message
    assert "EPMSTORE_DAEMON_SETTLE" in (raised.value.hint or "")


def test_other_variables_are_not_ours() -> None:
    names = ("EPMSTORE_STORE", "EPMSTORE_DEBUG", "EPMSTORE_APP", "EPMSTORE_BACKUP_TARGET")
    assert not environment_layer(dict.fromkeys(names, "x")).values


def test_a_variable_with_junk_names_itself() -> None:
    with pytest.raises(UsageError, match="EPMSTORE_CARE_DRILL: 'soon' is not a duration"):
        merge([environment_layer({"EPMSTORE_CARE_DRILL": "soon"})])


@given(st.integers(min_value=0, max_value=10**12))
def test_durations_read_back(milliseconds: int) -> None:
    text = measures.format_duration(milliseconds / 1000)
    assert round(measures.parse_duration(text) * 1000) == milliseconds


@given(st.integers(min_value=0, max_value=10**18))
def test_sizes_read_back(count: int) -> None:
    assert measures.parse_size(measures.format_size(count)) == count


@pytest.mark.parametrize("text", ["", "5", "-1s", "1d 12h", "1y", "5m!", "m", "99999w"])
def test_parse_duration_refuses_other_texts(text: str) -> None:
    with pytest.raises(UsageError):
        measures.parse_duration(text)


@pytest.mark.parametrize(
    "key",
    ["daemon.poll", "daemon.reconcile", "daemon.read_back", "store.max_size", "care.drill"],
)
def test_nothing_at_all_is_no_silent_off(key: str) -> None:
    """Of a largest size of 0 no content would be recorded; a look every 0 s would never end."""
    zero = "0" if key == "store.max_size" else "0s"
    with pytest.raises(UsageError, match=f"{key} must be more than 0"):
        merge([environment_layer({f"EPMSTORE_{key.replace('.', '_').upper()}": zero})])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("epmstore_store", "EPMSTORE_STORE"),
        ("EPMSTORE_daemon_settle", "EPMSTORE_DAEMON_SETTLE"),
        ("Epmstore_Care_Dril", "EPMSTORE_CARE_DRILL"),
        ("EPMSTORE_SAFE_STORES", "in a file"),
    ],
)
def test_ours_in_small_letters_is_no_silent_default(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"there is no variable {name}") as raised:
        environment_layer({name: "/x"})
    assert hint in (raised.value.hint or "")
