"""The parts of `gpu.sh`, one after another, each in a process of its own and with a time limit."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import multiprocessing
import os
import platform
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gpu_tables import markdown

ROOT = Path(__file__).resolve().parent.parent
TOTAL_SECONDS = 460.0
"""For all parts together; with start and end the script stays under 8 minutes."""
BUDGETS = {
    "correctness": 90.0,
    "resume": 60.0,
    "training-base": 90.0,
    "training-large": 110.0,
    "together": 60.0,
    "host": 120.0,
    "serving": 60.0,
    "profile": 60.0,
}
"""Seconds that each part may take at most, in the order in which they run."""
MODULES = {
    "torch": "torch",
    "torchaudio": "torchaudio",
    "transformers": "transformers",
    "accelerate": "accelerate",
    "safetensors": "safetensors",
    "numpy": "numpy",
    "soundfile": "soundfile",
    "_cffi_backend": "cffi",
    "rapidfuzz": "RapidFuzz",
    "peft": "peft",
}
"""Modules that the parts import, and the packages that bring them."""
PRELOADED = ("gpu_parts", "transformers.models.wavlm.modeling_wavlm", "peft", "accelerate")


@dataclass
class Outcome:
    """How a part ended, and what it reported up to then."""

    status: str = "not run: no time left"
    seconds: float = 0.0
    error: str = ""
    records: list[dict[str, Any]] = field(default_factory=list)


def missing_wheels() -> list[str]:
    """Return the missing packages with the versions of constraints.txt."""
    absent = [package for module, package in MODULES.items() if importlib.util.find_spec(module) is None]
    pins = (line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    locked = {name.lower(): pin for name, _, pin in pins}
    return [f"{name}=={locked[name.lower()]}" for name in absent]


def run_part(name: str, limit: float, toy: bool, log: Path) -> Outcome:
    """Run a part in a process of its own; whatever happens to it, the next part can run."""
    # a forked process has the packages imported already, but it cannot use CUDA
    start = multiprocessing.get_context("fork" if toy else "spawn")
    process = start.Process(target=_child, args=(name, toy, log))
    began = time.monotonic()
    process.start()
    process.join(limit)
    stopped = process.is_alive()
    if stopped:
        process.kill()
        process.join()
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    errors = [line["error"] for line in lines if "error" in line]
    status = "done"
    if stopped:
        status = f"stopped after {limit:.0f} s"
    elif process.exitcode or errors:
        status = f"failed (exit code {process.exitcode}, errors: {len(errors)})"
    records = [line for line in lines if "error" not in line]
    return Outcome(status, round(time.monotonic() - began, 1), "\n".join(errors), records)


def _child(name: str, toy: bool, log: Path) -> None:
    import gpu_parts

    with log.open("a", buffering=1) as file:

        def report(**record: Any) -> None:
            file.write(json.dumps(record) + "\n")

        try:
            gpu_parts.PARTS[name](toy, report)
        except Exception:
            report(error=traceback.format_exc())


def about_machine() -> dict[str, Any]:
    """Return the versions that the figures belong to; the GPU's name is in the part `correctness`."""
    versions = {}
    for package in MODULES.values():
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return {"python": platform.python_version(), "cores": os.cpu_count(), **versions}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder of gpu.json and gpu.md")
    parser.add_argument("--parts", default=",".join(BUDGETS), help=f"of {', '.join(BUDGETS)}")
    parser.add_argument("--toy", action="store_true", help="tiny networks on the CPU, to try the script")
    options = parser.parse_args()
    unknown = set(options.parts.split(",")) - BUDGETS.keys()
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose from {', '.join(BUDGETS)}")
    if wheels := missing_wheels():
        print(f"missing on this machine, bring these wheels: {' '.join(wheels)}", file=sys.stderr)
        return 1
    if options.toy:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # with AMX, torch 2.13 gives wrong bfloat16 convolutions for groups of 8 or 12 channels, as tiny networks have
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_BF16"
        from elp_core.private_names import import_after_torchaudio

        for module in PRELOADED:
            import_after_torchaudio(module)
    import torch

    if not options.toy and not torch.cuda.is_available():
        print("torch sees no GPU on this machine; try the script with --toy", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + TOTAL_SECONDS
    results: dict[str, Any] = {"toy": options.toy, "machine": about_machine(), "parts": {}}
    outcomes: dict[str, Outcome] = {}
    for name in options.parts.split(","):
        log = options.out / f"{name}.jsonl"
        log.unlink(missing_ok=True)
        limit = min(BUDGETS[name], deadline - time.monotonic())
        outcomes[name] = run_part(name, limit, options.toy, log) if limit > 5 else Outcome()
        log.unlink(missing_ok=True)
        print(f"{name}: {outcomes[name].status} ({outcomes[name].seconds} s)", flush=True)
        # written after every part, so that a machine taken away leaves what was measured
        results["parts"] = {part: asdict(outcome) for part, outcome in outcomes.items()}
        (options.out / "gpu.json").write_text(json.dumps(results, indent=1))
        (options.out / "gpu.md").write_text(markdown(results))
    print((options.out / "gpu.md").read_text())
    checks = [record["held"] for outcome in outcomes.values() for record in outcome.records if "held" in record]
    return 0 if all(checks) and all(outcome.status == "done" for outcome in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
