"""New databases of MLflow and Prefect, made once in a run of the tests and then copied.

A new database walks through all versions of its schema: 2 s of processor time for MLflow's, 8 s for Prefect's. The walk
through the documentation lets `elp up` make both.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipelines.local.environment import child_environment

_ROOT = Path(__file__).parents[2]
_folder: list[Path] = []


def keep_databases(folder: Path) -> None:
    """Keep what is made in `folder`, which the processes of one run share; before that, nothing is copied."""
    _folder[:] = [folder]


def new_mlflow_database(path: Path) -> None:
    """Write a SQLite file with MLflow's tables and no rows, if there is no file at `path`."""
    from tests.support.forked_server import fork_context

    def make(made: Path) -> None:
        if "mlflow.store.db.utils" in sys.modules:
            create_mlflow_tables(made)
            return
        process = fork_context().Process(target=create_mlflow_tables, args=(made,))
        process.start()
        process.join()
        assert process.exitcode == 0

    _copy("mlflow", make, path)


def create_mlflow_tables(path: Path) -> None:
    """Let MLflow make its tables."""
    from mlflow.store.db.utils import _safe_initialize_tables, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(f"sqlite:///{path}")
    _safe_initialize_tables(engine)
    engine.dispose()


def new_prefect_database(home: Path) -> None:
    """Write Prefect's database into its home, if there is none."""

    def make(made: Path) -> None:
        environment = child_environment(
            {
                "PREFECT_HOME": str(made.parent / "prefect-home"),
                "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{made}",
                "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "data")]),
            }
        )
        command = [sys.executable, "-m", "pipelines.orchestration.quick_prefect", "server", "database", "upgrade", "-y"]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)

    _copy("prefect", make, home / "prefect.db")


def _copy(name: str, make: Callable[[Path], None], path: Path) -> None:
    if not _folder or path.exists():
        return
    folder = _folder[0] / "databases"
    folder.mkdir(exist_ok=True)
    made = folder / f"{name}.db"
    with (folder / f"{name}.lock").open("w") as lock:
        # the other process of the tests waits for it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            new = folder / f"{name}.new"
            make(new)
            # into one file, whatever journal its owner keeps
            with (
                contextlib.closing(sqlite3.connect(new)) as source,
                contextlib.closing(sqlite3.connect(made)) as target,
            ):
                source.backup(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, path)
