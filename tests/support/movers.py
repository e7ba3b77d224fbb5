"""Processes that move a champion by the guard's own transitions, on the database of a running server, until they end.

`MoverProcess` and `Movers` are the test's side. The other side is this module run as a program: it imports MLflow once
and forks a child for each mover, so that a hundred of them cost seconds.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.support.guarded_server import JOINED, GuardedServer, guarded_environment

STEPS = ("locked", "entry written", "alias moved", "committed", "anchored")
"""Moments of a promotion at which a mover can kill itself, in their order."""

_IMPORTED = (
    "pipelines.server.stores.registry_store",
    "pipelines.server.transitions.champion_transition",
    "mlflow.server.handlers",
)
"""What a mover needs, down to what MLflow imports when a store is asked for: 0.3 s of processor time."""


@dataclass
class MoverProcess:
    """The process that forks movers, and the folder of what they write."""

    process: subprocess.Popen[str]
    folder: Path
    batch: int = 0

    def send(self, order: dict[str, Any]) -> None:
        """Order a batch of movers."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Return the next answer."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the movers ended:\n{(self.folder / 'movers.log').read_text()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Movers:
    """Movers on the database of one server."""

    def __init__(self, process: MoverProcess, server: GuardedServer) -> None:
        self._process = process
        self._environment = {**guarded_environment(server.folder), **server_variables(server)}

    def start(
        self, slot: str, seconds: float, count: int = 1, moves: int = 0, kill_at: str = "", seed: int = 0
    ) -> list[int]:
        """Fork movers on a slot; return their pids.

        Args:
            slot: ``SITE/TASK``.
            seconds: How long each of them moves the champion.
            count: How many.
            moves: After how many changes each of them ends; 0 for no limit.
            kill_at: One of `STEPS`: each kills itself there, a few moves in.
            seed: Of what they choose to do.
        """
        self._process.batch += 1
        order = {"slot": slot, "seconds": seconds, "count": count, "moves": moves, "kill_at": kill_at, "seed": seed}
        order |= {"environment": self._environment, "logs": str(self._process.folder / f"batch-{self._process.batch}")}
        self._process.send(order)
        return [int(pid) for pid in self._process.receive()["pids"]]

    def wait(self) -> list[int]:
        """Wait until all have ended; return their exit codes (minus the signal that killed them)."""
        return [int(code) for code in self._process.receive()["codes"]]

    def said(self) -> list[dict[str, Any]]:
        """What the movers of the last batch have written: moves with their number in the ledger, refusals, faults."""
        lines = [
            line
            for path in sorted(self._process.folder.glob(f"batch-{self._process.batch}-*"))
            for line in path.read_text().splitlines()
            # a kill may cut the last line
            if line.endswith("}")
        ]
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def mover_process(folder: Path) -> Iterator[MoverProcess]:
    """Run the process that forks movers; they write their logs into `folder`."""
    with (folder / "movers.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.movers"],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield MoverProcess(process, folder)
        finally:
            assert process.stdin
            assert process.stdout
            process.stdin.close()
            process.wait(30)
            process.stdout.close()


def server_variables(server: GuardedServer) -> dict[str, str]:
    """What makes another process use the stores of a running server as its own."""
    return {
        "_MLFLOW_SERVER_FILE_STORE": server.database,
        "_MLFLOW_SERVER_REGISTRY_STORE": JOINED + server.database,
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": JOINED + server.destination,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "ELP_KEYS": str(server.keys),
        "ELP_LEDGER_CHECKPOINT": str(server.anchor),
    }


def _serve(orders: IO[str]) -> None:
    """Fork the children of each order, say their pids, and how they ended."""
    # once, before the forks; no engine and no thread is made yet
    for name in _IMPORTED:
        importlib.import_module(name)
    for line in orders:
        order = json.loads(line)
        children = [_fork(order, number) for number in range(order["count"])]
        print(json.dumps({"pids": children}), flush=True)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        print(json.dumps({"codes": codes}), flush=True)


def _fork(order: dict[str, Any], number: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        # stdout is the parent's line to the test: one file for each child instead
        os.environ.update(order["environment"])
        log = os.open(f"{order['logs']}-{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _move(order, number, lambda said: os.write(log, (json.dumps(said) + "\n").encode()))
        code = 0
    finally:
        os._exit(code)


def _move(order: dict[str, Any], number: int, say: Callable[[dict[str, Any]], object]) -> None:
    """Move the champion back and forth at random, and say what each try came to."""
    from pipelines.registry.ledger.entry import Principal
    from pipelines.registry.registered_adapter import ChampionChange
    from pipelines.registry.slot import Slot
    from pipelines.server.refusal import Refusal
    from pipelines.server.stores.registry_store import registry
    from pipelines.server.transitions import champion_transition

    store, slot, choose = registry(), Slot.parse(order["slot"]), random.Random(f"{order['seed']}-{number}")
    principal = Principal(f"mover-{number}", False, "")
    tries: list[Callable[[], ChampionChange]] = [
        lambda: champion_transition.move_champion(store, slot, 2, principal, "forth", "promote", again=True),
        lambda: champion_transition.move_champion(store, slot, 3, principal, "forth", "promote", again=True),
        lambda: champion_transition.roll_back(store, slot, 1, principal, "back"),
        lambda: champion_transition.roll_back(store, slot, 2, principal, "back"),
        lambda: champion_transition.roll_back(store, slot, None, principal, "back"),
    ]
    ends, moves = time.monotonic() + order["seconds"], 0
    while time.monotonic() < ends and moves < (order["moves"] or math.inf):
        if moves == 2 and order["kill_at"]:
            _arm(store, order["kill_at"])
        try:
            moved = choose.choice(tries)()
        except Refusal as refusal:
            say({"refused": refusal.message})
            continue
        moves += moved.changed
        say({"seq": moved.seq, "event": moved.event, "to": moved.version, "from": moved.previous})


def _arm(store: Any, step: str) -> None:
    """From now on the process dies at this step of a move."""
    import pipelines.server.storage.locked_store as module
    from pipelines.server.ledger import LedgerTransaction
    from pipelines.server.transitions import champion_transition

    def then_die(called: Callable[..., Any]) -> Callable[..., Any]:
        def dies(*args: Any, **named: Any) -> None:
            called(*args, **named)
            os.kill(os.getpid(), signal.SIGKILL)

        return dies

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if step == "locked":
        module.lock_ledger = then_die(module.lock_ledger)
    elif step == "entry written":
        LedgerTransaction.append = then_die(LedgerTransaction.append)
    elif step == "alias moved":
        champion_transition.show_change = then_die(champion_transition.show_change)
    elif step == "committed":
        store._write_checkpoint = die
    elif step == "anchored":
        store._write_checkpoint = then_die(store._write_checkpoint)
    else:
        raise ValueError(f"no step {step!r}")


if __name__ == "__main__":
    _serve(sys.stdin)
