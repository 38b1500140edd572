"""What holds for every test: scratch places, never the developer's own, and patient Hypothesis."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A loaded machine cannot judge speed: neither a slow example nor a slow draw fails.
settings.register_profile(
    "patient",
    settings.get_profile("ci" if os.environ.get("CI") else "default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def scratch_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the store, the configuration or the home of whoever runs it."""
    home: Path = tmp_path_factory.mktemp("home")
    umask = os.umask(0o022)
    # who starts the tests in the background of a script may have them ignore it, and all they start
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
            patch.delenv(name, raising=False)
        # named, so that a test which forgets its own --store finds no store at all
        patch.setenv("EPMSTORE_STORE", str(home / "no-such-store"))
        patch.delenv("NO_COLOR", raising=False)
        patch.setattr("epmstore.store.reserve.SIZE", 1 << 16)  # hundreds of stores are made
        yield
    os.umask(umask)
    signal.signal(signal.SIGINT, interrupt)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")
