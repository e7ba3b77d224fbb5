"""`elp serve` under load, against other servers of the same adapters, and while champions change.

python benchmarks/bench_serve.py --clients 16                   # all ways in one table, some minutes
python benchmarks/bench_serve.py --size base --seconds 1
python benchmarks/bench_serve.py --ways elp --load 600 --change 5 --adapters 16
python benchmarks/bench_serve.py --ways elp --adapters 256 --skew 1 --memory 300 --clips 4 --changing 16   # 5 minutes

Every way is a server process with the same route, and the clients are this process. The ways take turns of a few
seconds, so that other work on the machine concerns all of them. CPU and MB are those of a server with all its
processes. A server is ready when it answers any request over HTTP (`elp serve`: when `/readyz` is 200).
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from serve_plant import PlantChampions, ServedPlant, choose, expected_answers, make_clips, make_plant

from pipelines.local.http_client import free_port

NAMES = {
    "peft1": "`transformers` + `peft`, one after another, 1 thread",
    "peft": "`transformers` + `peft`, one after another",
    "alone": "our library, one after another",
    "litserve": "LitServe, our library",
    "ray": "Ray Serve, our library",
    "elp1": "`elp serve` without batching",
    "elp-single": "`elp serve`, a batch at a time",
    "elp": "`elp serve`",
}
OPTIONS = {
    "peft1": ["--threads", "1"],
    "elp1": ["--batch", "0"],
    "elp-single": ["--threads", "1"],
}
"""Options of a way, after those of all."""


@dataclass
class Load:
    """The bodies of the requests of a measurement, in order, and what each asks."""

    clips: Sequence[bytes]
    choice: Sequence[tuple[int, str]]
    boundary: str = field(default_factory=lambda: uuid.uuid4().hex)

    def body(self, number: int) -> bytes:
        """Return the form of a request."""
        clip, slot = self.choice[number % len(self.choice)]
        head = (
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{slot}\r\n--{self.boundary}\r\n'
        )
        head += 'Content-Disposition: form-data; name="file"; filename="c.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        return head.encode() + self.clips[clip] + f"\r\n--{self.boundary}--\r\n".encode()


@dataclass
class Outcome:
    """What requests to one server took."""

    seconds: float = 0.0
    cpu: float = 0.0
    times: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    port: int
    process: psutil.Process
    ready: float
    """Seconds from its start until it can be asked."""
    first: float
    """Seconds from its start to its first answer."""

    def tree(self) -> list[psutil.Process]:
        """Return its processes."""
        return [self.process, *self.process.children(recursive=True)]

    def cpu(self) -> float:
        """Return the processor seconds of all its processes."""
        return sum(sum(one.cpu_times()[:2]) for one in self.tree())

    def megabytes(self) -> float:
        """Return its memory; what processes share is counted once."""
        return sum(one.memory_full_info().pss for one in self.tree()) / 2**20


def main() -> None:
    """Measure the chosen ways, then the load while champions change."""
    options = _options()
    ways = options.ways.split(",")
    print(f"{options.size} backbone, {options.adapters} slots, {options.clients} clients at once, clips of ", end="")
    print(f"{options.seconds} s; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch, contextlib.ExitStack() as stack:
        plant = make_plant(Path(scratch), options.size, options.adapters, options.changing)
        clips = make_clips(options.clips, options.seconds)
        load = Load(clips, choose(plant.slots, len(clips), options.requests, options.skew))
        servers = {way: stack.enter_context(_server(way, plant, load, options)) for way in ways}
        _compare(servers, load, options)
        if "elp" in servers and options.load:
            _while_champions_change(servers["elp"], plant, load, options)


def _compare(servers: Mapping[str, Running], load: Load, options: argparse.Namespace) -> None:
    found: dict[str, list[Outcome]] = {way: [] for way in servers}
    for turn in range(options.turns + 1):
        for way, server in servers.items():
            outcome = _ask_all(server, load, options.clients)
            if turn:
                found[way].append(outcome)
    print("| way | requests/s | p50 ms | p99 ms | CPU ms a request | MB | ready s | first answer s | requests/s, x |")
    print("|---|---|---|---|---|---|---|---|---|")
    speeds = {way: float(np.median([len(o.times) / o.seconds for o in outcomes])) for way, outcomes in found.items()}
    base = next(iter(speeds.values()))
    for way, outcomes in found.items():
        times = [1e3 * one for outcome in outcomes for one in outcome.times]
        middle, last = np.percentile(times, (50, 99))
        cpu = 1e3 * sum(o.cpu for o in outcomes) / len(times)
        server = servers[way]
        shown = f"{speeds[way]:.1f} | {middle:.0f} | {last:.0f} | {cpu:.1f} | {server.megabytes():.0f}"
        print(f"| {NAMES[way]} | {shown} | {server.ready:.1f} | {server.first:.1f} | {speeds[way] / base:.2f} |")
    print(flush=True)


def _while_champions_change(server: Running, plant: ServedPlant, load: Load, options: argparse.Namespace) -> None:
    """Ask for `options.load` seconds; every answer is compared with that of the version in its headers."""
    changing = plant.slots[: options.changing]
    expected, champions = expected_answers(plant, load.clips, changing), PlantChampions(plant)
    counts: Counter[str] = Counter()
    memory: list[float] = []
    ends = time.monotonic() + options.load

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
        while time.monotonic() < ends:
            status, headers, body = _post(connection, load, number)
            counts["requests"] += 1
            if status != 200:
                counts["failed"] += 1
                continue
            wanted = expected[headers["elp-bundle-digest"], load.choice[number % len(load.choice)][0]]
            counts["other than the header"] += abs(json.loads(body)["probability"] - wanted) > 1e-4
            counts[f"version {int(headers['elp-version']) % 2}"] += 1
            number += options.clients

    threads = [threading.Thread(target=client, args=(number,)) for number in range(options.clients)]
    for thread in threads:
        thread.start()
    changes = 0
    while time.monotonic() < ends:
        time.sleep(min(options.change, max(0.0, ends - time.monotonic())))
        champions.change(changing[changes % len(changing)])
        changes += 1
        memory.append(server.megabytes())
    for thread in threads:
        thread.join()
    third = max(1, len(memory) // 3)
    early, late = np.median(memory[third : 2 * third] or memory), np.median(memory[-third:])
    print(
        f"{options.load:.0f} s with a changed champion every {options.change} s: {counts['requests']} requests, "
        f"{counts['failed']} failed, {counts['other than the header']} answers of another version than the header, "
        f"{changes} changes (answers: {counts['version 1']} of odd, {counts['version 0']} of even versions); "
        f"memory {early:.0f} MB in the second third, {late:.0f} MB in the last ({100 * (late / early - 1):+.1f} %)"
    )


@contextlib.contextmanager
def _server(way: str, plant: ServedPlant, load: Load, options: argparse.Namespace) -> Iterator[Running]:
    """Start a server and wait for its first answer; it has been asked once when the block begins."""
    began, port = time.monotonic(), free_port("127.0.0.1")
    script, kind = str(Path(__file__).with_name("serve_ways.py")), way.rstrip("1").partition("-")[0]
    command = [sys.executable, script, kind, str(plant.root), str(port), "--threads", str(options.threads)]
    command += ["--memory", str(options.memory or 0), *OPTIONS.get(way, [])]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with open(plant.root / f"{way}.log", "w") as log:
        started = subprocess.Popen(
            command,
            env={**environment, "HF_HUB_OFFLINE": "1"},
            stdout=log,
            stderr=log,
        )
    process = psutil.Process(started.pid)
    try:
        ready = 0.0
        while True:
            if started.poll() is not None:
                raise SystemExit(f"the server {way} has ended:\n{(plant.root / f'{way}.log').read_text()[-3000:]}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
                if not ready and _is_ready(connection, kind):
                    ready = time.monotonic() - began
                if ready and _post(connection, load, 0)[0] == 200:
                    break
            time.sleep(0.05)
        yield Running(port, process, ready, time.monotonic() - began)
    finally:
        children = process.children(recursive=True) if started.poll() is None else []
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(30)
        for one in (process, *children):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        started.wait()


def _ask_all(server: Running, load: Load, clients: int) -> Outcome:
    outcome, waiting = Outcome(), iter(range(len(load.choice)))
    lock = threading.Lock()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
        while True:
            with lock:
                number = next(waiting, None)
            if number is None:
                return
            start = time.perf_counter()
            status, _, body = _post(connection, load, number)
            assert status == 200, body
            outcome.times.append(time.perf_counter() - start)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    began, cpu = time.perf_counter(), server.cpu()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.seconds, outcome.cpu = time.perf_counter() - began, server.cpu() - cpu
    return outcome


def _is_ready(connection: http.client.HTTPConnection, kind: str) -> bool:
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    answer.read()
    # the others have no such route
    return answer.status == 200 if kind == "elp" else answer.status < 500


def _post(connection: http.client.HTTPConnection, load: Load, number: int) -> tuple[int, Mapping[str, str], bytes]:
    kind = f"multipart/form-data; boundary={load.boundary}"
    connection.request("POST", "/v1/classify", load.body(number), {"Content-Type": kind})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--ways", default="peft,peft1,alone,elp1,elp", help=f"of {', '.join(NAMES)}; the first is 1.00 x"
    )
    parser.add_argument("--size", choices=["tiny", "base"], default="tiny", help="the embedded backbone, or WavLM base")
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--clients", type=int, default=8, help="at once")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1.0, help="mean length of a clip")
    parser.add_argument("--requests", type=int, default=96, help="of each way and turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--skew", type=float, default=0.0, help="exponent of the slots' popularity; 1 is Zipf's")
    parser.add_argument("--memory", type=int, help="MB of adapters in memory of elp serve")
    parser.add_argument("--load", type=float, default=15.0, help="seconds of load while champions change; 0 for none")
    parser.add_argument("--changing", type=int, help="slots whose champions change, the most popular first [all]")
    parser.add_argument("--change", type=float, default=5.0, help="seconds between two changes")
    parser.add_argument("--threads", type=int, default=2, help="of torch in the other servers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
