"""`elp serve` under load: against `transformers` with `peft` one after another, and while champions change.

python benchmarks/bench_serve.py                                  # a minute, on the embedded backbone
python benchmarks/bench_serve.py --size base --load 600 --change 5 --adapters 16
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import soundfile
import torch
from network_sizes import random_network

from elp_core import audio, backbones
from elp_core.assemble import build
from elp_core.backbones import Backbone
from elp_core.backbones.families import make_config, make_model
from elp_core.bundle import bundle_digest, write_bundle
from elp_core.config import ElpConfig
from elp_core.inference import AdapterHost, Request
from elp_core.tasks import make_task
from elp_core.testing import random_clips, write_preprocessor
from pipelines.local.http_client import free_port
from pipelines.local.settings import Settings
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import Champion, FetchedBundle
from pipelines.serving.http.api_keys import ApiKeyFile
from pipelines.serving.http.serve_process import ServeOptions, listening_socket, open_service, web_server

TASKS = ("ser", "sic")
ROUTE = "/v1/classify"


@dataclass
class Champions:
    """The present bundle of each slot, of the two that it has."""

    folders: Mapping[Slot, tuple[Path, Path]]
    present: dict[Slot, int] = field(default_factory=dict)
    name: str = "benchmark"

    def champions(self) -> dict[Slot, Champion | None]:
        return {slot: Champion(self.present.get(slot, 1)) for slot in self.folders}

    def fetch(self, slot: Slot, version: int | str) -> FetchedBundle:
        folder = self.folders[slot][int(version) % 2]
        return FetchedBundle(int(version), folder, bundle_digest(folder))

    def updates_stopped(self) -> str:
        return ""


@dataclass(frozen=True)
class Load:
    """The requests of one measurement: a clip and a slot each, in order."""

    clips: Sequence[bytes]
    slots: Sequence[Slot]
    choice: Sequence[tuple[int, int]]
    """Numbers of the clip and of the slot."""


@dataclass
class Outcome:
    """What the requests of one way took."""

    seconds: float = 0.0
    cpu: float = 0.0
    times: list[float] = field(default_factory=list)


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    print(
        f"CPU, {options.threads} threads, load {os.getloadavg()[0]:.1f}; {options.size} backbone, {options.adapters} "
    )
    print(f"slots, {options.clients} clients at once, clips of {options.seconds} s\n")
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch:
        root = Path(scratch)
        backbone, model_id = _backbone(options.size, root)
        source = Champions(_bundles(backbone, root, options.adapters))
        load = _load(options, list(source.folders))
        expected = _expected(backbone, source, load)
        with _server(source, model_id, root, options) as (url, first):
            print(f"backbone and adapters loaded, first answer: {first:.2f} s\n")
            ways = {
                "transformers + peft, one after another": _peft(options, load),
                "our library, one after another": _alone(backbone, source, load),
                "elp serve, over HTTP": lambda: _ask_all(url, load, options.clients),
            }
            _compare(ways, options)
            _while_champions_change(url, source, load, expected, options)


def _compare(ways: Mapping[str, Callable[[], Outcome]], options: argparse.Namespace) -> None:
    found: dict[str, list[Outcome]] = {name: [] for name in ways}
    for turn in range(options.turns + 1):
        for name, run in ways.items():
            outcome = run()
            if turn:
                found[name].append(outcome)
    print("| way | requests/s | p50 ms | p99 ms | CPU ms a request | speed |\n|---|---|---|---|---|---|")
    speeds = {
        name: sum(len(o.times) for o in outcomes) / sum(o.seconds for o in outcomes) for name, outcomes in found.items()
    }
    base = next(iter(speeds.values()))
    for name, outcomes in found.items():
        times = [1e3 * one for outcome in outcomes for one in outcome.times]
        middle, last = np.percentile(times, (50, 99))
        cpu = 1e3 * sum(o.cpu for o in outcomes) / len(times)
        shown = f"{speeds[name]:.1f} | {middle:.0f} | {last:.0f} | {cpu:.0f} | {speeds[name] / base:.2f} x"
        print(f"| {name} | {shown} |")
    print()


def _while_champions_change(
    url: str,
    source: Champions,
    load: Load,
    expected: Mapping[tuple[str, str, int], float],
    options: argparse.Namespace,
) -> None:
    """Ask for `options.load` seconds; every answer is compared with that of the version in its headers."""
    counts: Counter[str] = Counter()
    ends, process = time.monotonic() + options.load, psutil.Process()
    memory: list[float] = []

    def ask(client: httpx.Client, number: int) -> None:
        clip, slot = load.choice[number % len(load.choice)]
        answer = _post(client, load.slots[slot], load.clips[clip])
        counts["requests"] += 1
        if answer.status_code != 200:
            counts["failed"] += 1
            return
        by = answer.headers["elp-version"], answer.headers["elp-bundle-digest"]
        if abs(answer.json()["probability"] - expected[(by[1], str(load.slots[slot]), clip)]) > 1e-3:
            counts["other than the header"] += 1
        counts[f"version {int(by[0]) % 2}"] += 1

    def clients(number: int) -> None:
        with httpx.Client(base_url=url, timeout=600, trust_env=False) as client:
            while time.monotonic() < ends:
                ask(client, number)
                number += options.clients

    threads = [threading.Thread(target=clients, args=(number,)) for number in range(options.clients)]
    for thread in threads:
        thread.start()
    changes = 0
    while time.monotonic() < ends:
        time.sleep(min(options.change, max(0.0, ends - time.monotonic())))
        changes += 1
        slot = load.slots[changes % len(load.slots)]
        source.present[slot] = source.present.get(slot, 1) + 1
        memory.append(process.memory_info().rss / 2**20)
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


def _backbone(size: str, root: Path) -> tuple[Backbone, str]:
    if size == "tiny":
        return Backbone.from_pretrained("elp:tiny"), "elp:tiny"
    folder = root / "backbone"
    random_network(size, dropout=False).save_pretrained(folder)
    write_preprocessor(folder, do_normalize=False)
    return Backbone.from_pretrained(str(folder)), str(folder)


def _bundles(backbone: Backbone, root: Path, count: int) -> dict[Slot, tuple[Path, Path]]:
    made = {}
    for number in range(count):
        slot = Slot(f"site-{number // len(TASKS)}", TASKS[number % len(TASKS)])
        folders = tuple(root / f"{slot.site}-{slot.task}-{seed}" for seed in (0, 1))
        for seed, folder in enumerate(folders):
            model = build(backbone, ElpConfig(), make_task(slot.task, random_clips()), 2 * number + seed)
            generator = torch.Generator().manual_seed(2 * number + seed)
            with torch.no_grad():
                for parameter in model.trainable().values():
                    parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
            write_bundle(folder, model.eval(), {"slot": str(slot)}, {})
        made[slot] = (folders[0], folders[1])
    return made


def _load(options: argparse.Namespace, slots: Sequence[Slot]) -> Load:
    rng = np.random.default_rng(0)
    clips = []
    for _ in range(options.clips):
        target, seconds = io.BytesIO(), options.seconds * rng.uniform(0.7, 1.3)
        soundfile.write(target, 0.1 * rng.standard_normal(round(16_000 * seconds)), 16_000, format="WAV")
        clips.append(target.getvalue())
    weights = (1.0 + np.arange(len(slots))) ** -options.skew
    chosen = rng.choice(len(slots), size=options.requests, p=weights / weights.sum())
    return Load(clips, slots, [(int(rng.integers(options.clips)), int(slot)) for slot in chosen])


def _expected(backbone: Backbone, source: Champions, load: Load) -> dict[tuple[str, str, int], float]:
    """Return the probability of the likeliest class by digest, slot and clip."""
    host, found = AdapterHost(backbone), {}
    waves = [audio.load(clip) for clip in load.clips]
    for slot, folders in source.folders.items():
        for folder in folders:
            host.load("one", folder)
            for number, output in enumerate(host.outputs([Request("one", wave) for wave in waves])):
                found[(host.digest("one"), str(slot), number)] = float(output.max())
            host.remove("one")
    return found


@contextlib.contextmanager
def _server(source: Champions, model_id: str, root: Path, options: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """Serve in threads of this process, so that its memory and CPU time are those of the server and the clients."""
    began = time.monotonic()
    memory = options.memory * 2**20 if options.memory else None
    serve = ServeOptions(port=free_port("127.0.0.1"), every=0.2, memory_bytes=memory, max_wait=options.wait / 1e3)
    keys = ApiKeyFile(root / "keys.json")
    with (
        contextlib.closing(listening_socket(serve)) as listener,
        open_service(source, Settings(backbone=model_id), serve, keys, lambda line: None) as opened,
    ):
        server = web_server(opened.app, serve)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.005)
        slot = next(iter(source.folders))
        with httpx.Client(base_url=serve.address, timeout=600, trust_env=False) as client:
            target = io.BytesIO()
            soundfile.write(target, 0.1 * np.ones(8000), 16_000, format="WAV")
            assert _post(client, slot, target.getvalue()).status_code == 200
        try:
            yield serve.address, time.monotonic() - began
        finally:
            server.should_exit = True
            thread.join()


def _peft(options: argparse.Namespace, load: Load) -> Callable[[], Outcome]:
    """Return a run of LoRA (r 8, feed-forward layers) with a linear head, the adapter switched before each request."""
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=8, target_modules=["intermediate_dense", "output_dense"])
    network = random_network("base", dropout=False) if options.size == "base" else _tiny_network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = get_peft_model(network.eval(), lora, adapter_name="0")
        for number in range(1, len(load.slots)):
            model.add_adapter(str(number), lora)
    model.eval()
    heads = [torch.nn.Linear(network.config.hidden_size, 4) for _ in load.slots]

    @torch.inference_mode()
    def one(clip: int, slot: int) -> None:
        model.set_adapter(str(slot))
        wave = torch.from_numpy(audio.load(load.clips[clip]))[None]
        heads[slot](model(wave).last_hidden_state.mean(1)).softmax(-1)

    return lambda: _in_order(load, one)


def _tiny_network() -> Any:
    """Return a random network of the embedded backbone's architecture."""
    values = json.loads((Path(backbones.__file__).parent / "tiny" / "config.json").read_text())
    return make_model(make_config(values, "bench"), "cpu")


def _alone(backbone: Backbone, source: Champions, load: Load) -> Callable[[], Outcome]:
    host = AdapterHost(backbone)
    for slot, folders in source.folders.items():
        host.load(str(slot), folders[1])

    def one(clip: int, slot: int) -> None:
        host.outputs([Request(str(load.slots[slot]), audio.load(load.clips[clip]))])

    return lambda: _in_order(load, one)


def _in_order(load: Load, one: Callable[[int, int], None]) -> Outcome:
    outcome = Outcome()
    began, cpu = time.perf_counter(), _cpu()
    for clip, slot in load.choice:
        start = time.perf_counter()
        one(clip, slot)
        outcome.times.append(time.perf_counter() - start)
    outcome.seconds, outcome.cpu = time.perf_counter() - began, _cpu() - cpu
    return outcome


def _ask_all(url: str, load: Load, clients: int) -> Outcome:
    outcome, waiting = Outcome(), iter(load.choice)
    lock = threading.Lock()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=600, trust_env=False) as client:
            while True:
                with lock:
                    chosen = next(waiting, None)
                if chosen is None:
                    return
                start = time.perf_counter()
                answer = _post(client, load.slots[chosen[1]], load.clips[chosen[0]])
                assert answer.status_code == 200, answer.text
                outcome.times.append(time.perf_counter() - start)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    began, cpu = time.perf_counter(), _cpu()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.seconds, outcome.cpu = time.perf_counter() - began, _cpu() - cpu
    return outcome


def _post(client: httpx.Client, slot: Slot, clip: bytes) -> httpx.Response:
    return client.post(ROUTE, data={"model": str(slot)}, files={"file": ("clip.wav", clip)})


def _cpu() -> float:
    """Return the processor seconds of this process; those of the decoders are a hundredth of them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["tiny", "base"], default="tiny", help="the embedded backbone, or WavLM base")
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--clients", type=int, default=8, help="at once")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1.0, help="mean length of a clip")
    parser.add_argument("--requests", type=int, default=64, help="of each way and turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--skew", type=float, default=0.0, help="exponent of the slots' popularity; 1 is Zipf's")
    parser.add_argument("--memory", type=int, help="MB of adapters in memory")
    parser.add_argument("--wait", type=float, default=2.0, help="ms that a batch waits for others")
    parser.add_argument("--load", type=float, default=15.0, help="seconds of load while champions change")
    parser.add_argument("--change", type=float, default=5.0, help="seconds between two changes")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
