"""Intake of one large delivery by the processes of this machine, and by a Dask (or Ray) cluster on this machine.

    python benchmarks/bench_fan_out.py [--clips 3000] [--engines processes dask] [--address tcp://127.0.0.1:8786]
        [--rounds 1]
    python benchmarks/bench_fan_out.py --evaluation [--clips 600] [--engines processes dask] [--address …] [--rounds 3]
        [--processes 2] [--backbone elp:tiny]

Each engine gets a workspace of its own and runs the flow `ingest` in a process of its own, with a Prefect server on
this machine. On one machine an engine cannot be faster than the processes: this measures what it costs. The versions
must have the same shards, byte for byte.

The second form evaluates a verification adapter (two systems, clips of 3 s) in one process with all cores, and divided
by each engine, alternately, whatever the size is. The scores must have the same bits. The processor time of a cluster
that runs already (--address) is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf

if TYPE_CHECKING:
    from pipelines.chunk_map import ChunkMap

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
SLOT = "big/asr"


def write_delivery(folder: Path, clips: int, kind: str) -> Path:
    """Return a NeMo manifest of tones of 3 s in noise, four fifths of them compressed as FLAC."""
    folder.mkdir(parents=True)
    rng, rows = np.random.default_rng(0), []
    times = np.arange(3 * 16_000) / 16_000
    for clip in range(clips):
        wave = 0.2 * np.sin(2 * np.pi * rng.uniform(90, 250) * times) * (np.sin(9 * times) > -0.5)
        wave += 0.005 * rng.standard_normal(len(times))
        name = f"{clip:05}.{kind if clip % 5 else 'wav'}"
        sf.write(folder / name, wave.astype(np.float32), 16_000)
        split = ("train", "train", "validation", "test")[clip % 4]
        rows.append({"audio_filepath": name, "text": "open the door", "speaker": f"speaker-{clip % 4}", "split": split})
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def digests(workspace: Path) -> dict[str, str]:
    """Return the SHA-256 of every Parquet file of the workspace's data."""
    data = workspace / "data"
    return {
        str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(data.rglob("*.parquet"))
    }


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def evaluation(clip_count: int, engines: dict[str, ChunkMap | None], rounds: int, backbone_name: str) -> None:
    """Evaluate two untrained adapters on clips of tones by each engine (None: in one process), and compare the bits."""
    from elp_core.assemble import build
    from elp_core.audio import clip_id, encode_flac
    from elp_core.backbones import Backbone
    from elp_core.bundle import write_bundle
    from elp_core.config import ElpConfig, TrainConfig
    from elp_core.tasks import make_task
    from elp_core.types import Clip
    from pipelines.gating import divided_evaluation
    from pipelines.gating.divided_evaluation import EvaluatedSystem, answer_systems, judge_answers

    # what dividing costs is measured at any size
    divided_evaluation.LARGE = 0.0
    rng, clips = np.random.default_rng(0), []
    times = np.arange(3 * 16_000) / 16_000
    for number in range(clip_count):
        wave = 0.2 * np.sin(2 * np.pi * rng.uniform(90, 250) * times) + 0.005 * rng.standard_normal(len(times))
        samples = wave.astype(np.float32)
        clips.append(Clip(clip_id(samples), encode_flac(samples), 3.0, "test", speaker=f"speaker-{number % 8}"))
    backbone, train = Backbone.from_pretrained(backbone_name), TrainConfig(device="cpu")
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    found = {}
    with tempfile.TemporaryDirectory() as parent:
        systems = []
        for seed in (0, 1):
            model = build(backbone, ElpConfig(), make_task("asv", clips), seed).eval()
            digest = write_bundle(folder := Path(parent) / str(seed), model, {}, {})
            systems.append(EvaluatedSystem(f"v{seed}", digest, folder, model))
        for round_number in range(rounds):
            for name in engines if round_number % 2 == 0 else reversed(engines):
                start, before = time.perf_counter(), cpu_seconds()
                answers = answer_systems(systems, clips, train, engines[name], lambda system, answered: None)
                done = judge_answers(systems, answers, clips, None, train)
                taken[name].append((time.perf_counter() - start, cpu_seconds() - before))
                print(f"{name}: {taken[name][-1][0]:.1f} s, {taken[name][-1][1]:.1f} s of CPU", flush=True)
                found[name] = b"".join(one.scores.scores.tobytes() for one in done)
    assert len(set(found.values())) == 1, "the scores have other bits"
    best = {name: [min(column) for column in zip(*took, strict=True)] for name, took in taken.items()}
    (one, one_cpu), *_ = best.values()
    for name, (wall, cpu) in list(best.items())[1:]:
        print(f"{name}, best rounds: {one / wall:.2f} times as fast as one process, {cpu / one_cpu:.2f} times the CPU")


def evaluation_engines(names: list[str], address: str, processes: int) -> dict[str, ChunkMap | None]:
    """Return one process, and the engines of these names; a cluster needs Prefect's address in the environment."""
    from pipelines.gating.divided_evaluation import own_processes
    from pipelines.local.compute_settings import Compute, FanOut

    made: dict[str, ChunkMap | None] = {"one process": None}
    for name in names:
        if name == "processes":
            made[f"{processes} processes"] = own_processes(Compute(processes=processes), "cpu")
        else:
            from pipelines.orchestration.engines import chunk_map_of

            made[name] = chunk_map_of(FanOut(name, address), print)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=3000)
    parser.add_argument("--kind", default="flac", choices=["flac", "wav", "mp3"])
    parser.add_argument("--engines", nargs="+", default=["processes", "dask"], choices=["processes", "dask", "ray"])
    parser.add_argument("--address", default="", help="a scheduler that runs already, for every engine but processes")
    parser.add_argument("--evaluation", action="store_true")
    parser.add_argument("--processes", type=int, default=2, help="of --evaluation")
    parser.add_argument("--rounds", type=int, help="default: 3 of an evaluation, 1 of an intake")
    parser.add_argument("--backbone", default="elp:tiny")
    given = parser.parse_args()
    from tests.support.prefect_server import prefect_server

    for name in ("AUTHOR", "COMMITTER"):
        os.environ.update({f"GIT_{name}_NAME": "bench", f"GIT_{name}_EMAIL": "bench@example.org"})
    with tempfile.TemporaryDirectory() as parent, contextlib.ExitStack() as servers:
        environment = {}
        if not given.evaluation or set(given.engines) != {"processes"}:
            environment = servers.enter_context(prefect_server(Path(parent) / "prefect"))
        if given.evaluation:
            # before the first import of Prefect, which reads it
            os.environ.update(environment)
            engines = evaluation_engines(given.engines, given.address, given.processes)
            evaluation(given.clips, engines, given.rounds or 3, given.backbone)
        else:
            intake(given, Path(parent), environment)


def intake(given: argparse.Namespace, parent: Path, environment: Mapping[str, str]) -> None:
    """Take one delivery in by each engine, each time into a new workspace, and compare the files."""
    from pipelines.local.initialise import init_workspace

    found = {}
    source = write_delivery(parent / "delivery", given.clips, given.kind)
    for number, engine in itertools.product(range(given.rounds or 1), given.engines):
        root = init_workspace(parent / f"{engine}-{number}").root
        address = given.address if engine != "processes" else ""
        text = f"remote: .elp/remote\nfan_out: {{engine: {engine}, address: '{address}'}}\n"
        (root / "elp.yaml").write_text(text)
        subprocess.run(["git", "-C", str(root), "commit", "-qam", "Set it up"], check=True)
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-m", "tests.support.ingest_run", str(root), SLOT, str(source)]
        subprocess.run(command, check=True, env={**os.environ, **environment}, cwd=ROOT)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found[engine, number] = digests(root)
        print(f"{engine}: {seconds:.1f} s, {cpu:.1f} s of CPU (the run and its processes)", flush=True)
    first = found[given.engines[0], 0]
    assert first
    assert all(one == first for one in found.values()), "the engines made different bytes"
    print(f"{len(first)} files are equal, byte for byte")


if __name__ == "__main__":
    main()
