"""What every test stands on: a home of its own, fixed seeds, no telemetry, real speech where it is at hand."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.quick_imports import skip_grammar
from tests.support import environment
from tests.support.browser import end_browser
from tests.support.new_databases import keep_databases

if TYPE_CHECKING:
    from tests.support.login_server import LoginServer

ROOT = Path(__file__).resolve().parent.parent

MEMORY, ENOUGH_BYTES = Path("/dev/shm"), 3 * 2**30
"""The tests' folders are there, if it has this much room: on a disk, their databases wait for it at every commit."""

_BROWSER = ROOT / "tests" / "browser"
_numbers = itertools.count(1)

# The libraries that the test modules import make millions of objects that stay.
gc.disable()
skip_grammar()

# Set before any test module is collected: these libraries read them at import.
os.environ.update(
    DO_NOT_TRACK="1",
    MLFLOW_DISABLE_TELEMETRY="true",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    GX_ANALYTICS_ENABLED="false",
    DVC_NO_ANALYTICS="1",
    HF_HUB_OFFLINE="1",
    MPLBACKEND="Agg",
    # idle threads of a parallel region sleep: spinning ones would take the processor from the other test process
    OMP_WAIT_POLICY="PASSIVE",
)


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # `mktemp` reads all names next to the new one: with one of these for each test, that is seconds
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(scope="session", autouse=True)
def _databases(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Databases that are made once, for all processes of the run."""
    own = tmp_path_factory.getbasetemp()
    keep_databases(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture(autouse=True)
def _own_home(_homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A HOME per test, with a Git identity; nothing of the developer's own is read or written."""
    home = _homes / str(next(_numbers))
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Test\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n"
    )
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(home / name.lower()))
    for name in ("ELP_WORKSPACE", "MLFLOW_TRACKING_URI", "PREFECT_API_URL", "GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)


def pytest_configure(config: pytest.Config) -> None:
    """Let `environment` see the fixtures of the session too, as hooks of a folder's conftest do not."""
    config.pluginmanager.register(environment, "elp-environment")
    with contextlib.suppress(OSError):
        if shutil.disk_usage(MEMORY).free > ENOUGH_BYTES:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first: at the end, one process would run them while the others have nothing left."""
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("walk", "real_speech")])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End the browser with the last test of a module, and among the tests of the browser, of the folder."""
    yield
    if nextitem is None or (nextitem.path != item.path and {item.path.parent, nextitem.path.parent} != {_BROWSER}):
        end_browser()


def pytest_collection_finish() -> None:
    """Collect garbage again, but only among what the tests make."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _environment(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keys and anchor of the servers that the test uses, and of no others."""
    with environment.environment_of(request):
        yield


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """The same random numbers in every order of tests."""
    import sys

    random.seed(0)
    # only where a test module has loaded them: importing torch costs seconds
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def fsdd() -> Path:
    """The Free Spoken Digit Dataset (a folder or its archive); the test is skipped where it is not at hand."""
    places = [Path(os.environ["ELP_FSDD"])] if os.environ.get("ELP_FSDD") else []
    places.append(ROOT.parent / "shared" / "data" / "fsdd.tar.gz")
    for place in places:
        if place.exists():
            return place
    pytest.skip(f"no real speech: set ELP_FSDD, or put the archive at one of {', '.join(map(str, places))}")


@pytest.fixture(scope="session")
def login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoginServer]:
    """A guarded server with a login and a user of every role; each test keeps to slots and users of its own."""
    from tests.support.login_server import login_server

    with login_server(tmp_path_factory.mktemp("login")) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end how the attacks went."""
    from tests.support.tally import tally

    if line := tally(terminalreporter.stats):
        terminalreporter.write_sep("=", f"attacks: {line}")
