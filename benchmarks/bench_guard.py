"""What the guard costs: a change of alias with it and without it, through the server and in its store.

python benchmarks/bench_guard.py --database postgresql
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from turns import take_turns

# the servers and versions of the tests are real ones, and are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.contest import CHAMPION, FORMER, UNGATED, Contest, prepare
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.mlflow_server import mlflow_server
from tests.support.movers import server_variables
from tests.support.postgres import postgres_server
from tests.support.rest import Rest
from tests.support.versions_by_hand import API, register


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch, _database(options.database) as database:
        folder = Path(scratch)
        with guarded_server(folder / "guarded", database) as server, mlflow_server(_new(folder / "plain")) as plain:
            print(f"{options.database}; load {os.getloadavg()[0]:.1f}; {options.turns} turns, ms\n")
            # one slot for each: the champion transition reads the slot's whole history, which grows with every turn
            _through_the_server(prepare(server, "plant-a"), Rest(plain), options.turns)
            _in_the_store(server, prepare(server, "plant-b"), options.turns)


def _through_the_server(contest: Contest, plain: Rest, turns: int) -> None:
    """Time one HTTP request each; the plain server is MLflow's own, on SQLite."""
    for rest in (contest.rest, plain):
        for mark in ("one", "two"):
            register(rest, "somebody", mark, lineage=None, tags=False)
    ways = {
        "plain MLflow, alias of a model": _alternating(_alias(plain, "somebody", 1), _alias(plain, "somebody", 2)),
        "guarded server, alias of another model": _alternating(
            _alias(contest.rest, "somebody", 1), _alias(contest.rest, "somebody", 2)
        ),
        "guarded server, champion moved": _alternating(
            lambda: _must(contest.ask("rollback", version=FORMER).status, 200),
            lambda: _must(contest.ask("promote", version=CHAMPION, again=True).status, 200),
        ),
        "guarded server, champion refused": lambda: _must(contest.alias(UNGATED).status, 403),
    }
    _print("through the server", take_turns(ways, turns, warm_up=2))


def _in_the_store(server: GuardedServer, contest: Contest, turns: int) -> None:
    """Time the store's own call, without HTTP: the lock, the hashes, the signatures and the ledger."""
    os.environ |= server_variables(server)
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    from pipelines.registry.slot import Slot
    from pipelines.server.auth.principal import SERVER, acting_as
    from pipelines.server.storage.artifact_bytes import hash_bundle
    from pipelines.server.stores.registry_store import registry
    from pipelines.server.transitions import champion_transition

    guarded, plain, slot = registry(), SqlAlchemyStore(server.database), Slot.parse(contest.slot)
    place = f"mlflow-artifacts:/{contest.made[CHAMPION].folder}"
    with acting_as(SERVER):
        ways = {
            "plain store, alias set": _alternating(
                lambda: plain.set_registered_model_alias("somebody", "champion", 1),
                lambda: plain.set_registered_model_alias("somebody", "champion", 2),
            ),
            "guarded store, champion moved": _alternating(
                lambda: champion_transition.roll_back(guarded, slot, FORMER, SERVER, "back"),
                lambda: champion_transition.move_champion(
                    guarded, slot, CHAMPION, SERVER, "forth", "promote", again=True
                ),
            ),
            "of it, the bundle hashed": lambda: hash_bundle(place),
        }
        _print("in the store", take_turns(ways, turns, warm_up=2))


def _alias(rest: Rest, model: str, version: int) -> Callable[[], object]:
    values = {"name": model, "alias": "champion", "version": str(version)}
    return lambda: rest.post(f"{API}/registered-models/alias", values)


def _alternating(*ways: Callable[[], object]) -> Callable[[], object]:
    turn = -1

    def run() -> object:
        nonlocal turn
        turn += 1
        return ways[turn % len(ways)]()

    return run


def _must(status: int, expected: int) -> None:
    if status != expected:
        raise RuntimeError(f"the server answered {status}, expected {expected}: these are no times of a change")


def _print(title: str, times: dict[str, list[float]]) -> None:
    print(f"| {title} | median | 90 % | x the first |\n|---|---|---|---|")
    first = statistics.median(next(iter(times.values())))
    for name, taken in times.items():
        median, high = statistics.median(taken), statistics.quantiles(taken, n=10)[-1]
        print(f"| {name} | {median * 1e3:.1f} | {high * 1e3:.1f} | {median / first:.2f} |")
    print()


@contextlib.contextmanager
def _database(name: str) -> Iterator[str | None]:
    if name == "sqlite":
        yield None
        return
    with postgres_server() as postgres:
        yield postgres.database("bench")


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite", help="of the guarded server")
    parser.add_argument("--turns", type=int, default=100)
    return parser.parse_args()


if __name__ == "__main__":
    main()
