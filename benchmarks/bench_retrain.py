"""Overhead of the whole retrain flow (worker, data, registry, gate) beyond the training itself.

    python benchmarks/bench_retrain.py

Makes a workspace, starts its servers on free ports, retrains one slot of the embedded corpus through a worker, retrains
it again with nothing new, and ends the servers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ELP = str(Path(sys.executable).with_name("elp"))


def elp(folder: Path, *arguments: str) -> tuple[float, Any]:
    started = time.perf_counter()
    done = subprocess.run([ELP, *arguments, "--json"], cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"elp {' '.join(arguments)} ended with {done.returncode}\n{done.stderr}")
    return seconds, json.loads(done.stdout)


def main() -> None:
    from pipelines.demo.corpus import SITES, DeliveryPlan, write_delivery
    from pipelines.demo.job import SETTINGS
    from pipelines.local.initialise import init_workspace

    for name in ("AUTHOR", "COMMITTER"):
        os.environ.update({f"GIT_{name}_NAME": "bench", f"GIT_{name}_EMAIL": "bench@example.org"})
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "bench-retrain"
        init_workspace(folder)
        (folder / "elp.yaml").write_text(SETTINGS)
        subprocess.run(["git", "commit", "-qam", "Settings"], cwd=folder, check=True)
        manifest = write_delivery(SITES[0], DeliveryPlan("bench", per_speaker=10), Path(parent) / "delivery", 1)
        try:
            started, _ = elp(folder, "up", "--free-ports")
            whole, first = elp(folder, "retrain", "plant-a/asr", str(manifest))
            again, second = elp(folder, "retrain", "plant-a/asr", str(manifest))
        finally:
            subprocess.run([ELP, "down"], cwd=folder, capture_output=True, check=False)
    training = first["outcome"]["training: train_seconds"]
    flow = first["run"]["seconds"]
    print("| part | seconds |\n|---|---|")
    print(f"| `elp up` | {started:.1f} |\n| training itself | {training:.1f} |\n| retrain, flow run | {flow:.1f} |")
    print(f"| retrain, command to result | {whole:.1f} |\n| overhead beyond training | {whole - training:.1f} |")
    print(f"| retrain again, nothing new (reused: {second['outcome']['reused']}) | {again:.1f} |")


if __name__ == "__main__":
    main()
