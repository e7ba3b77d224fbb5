"""The Free Spoken Digit Dataset as two sites, intake to test split: WER, EER, error rate of SIC (digit as intent).

    python benchmarks/bench_real_speech.py [--slots clean-site/asr,clean-site/sic] [--epochs N] [--markdown FILE]
    python benchmarks/bench_real_speech.py --slots noisy-site/asv --options '{head: xvector, score_norm: adaptive}'

Needs ELP_FSDD (a folder or the archive). The training takes are 10 to 49, validation 5 to 9, the test split is takes
0 to 4, as published; the six speakers are in the training data (a closed set). Everything runs in this process: intake
with its checks and versions, training with the default settings of the task, one evaluation on the golden set.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SLOTS = {
    "clean-site/asr": {},
    "noisy-site/asr": {"noise": "factory", "snr": 5.0},
    "clean-site/asv": {},
    "noisy-site/asv": {"noise": "factory", "snr": 5.0},
    "clean-site/sic": {},
}


@dataclass(frozen=True)
class Row:
    slot: str
    metric: str
    value: float
    extra: dict[str, float]
    before: float
    minutes: float
    parameters: int
    epochs: int
    seconds: float

    def cells(self) -> list[str]:
        from pipelines.number_text import metric_title

        extra = ", ".join(f"{k} {v:.3g}" for k, v in self.extra.items())
        times = f"{self.seconds:.0f} s, {self.epochs} epochs"
        return [
            self.slot, metric_title(self.metric), f"{self.before:.1%}", f"{self.value:.2%}", extra,
            f"{self.minutes:.1f}", f"{self.parameters / 1e6:.2f} M", times,
        ]  # fmt: skip


HEADERS = ("slot", "metric", "untrained", "test split", "also", "minutes of training audio", "trainable", "training")


class Quiet:
    """Print a line for each epoch."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_step(self, *_: object, **__: object) -> None:
        pass

    def on_epoch(self, *values: object, **named: object) -> None:
        print(self.name, *values, named or "", flush=True)


def measure(slot_name: str, source: Path, folder: Path) -> Row:
    from elp_core.assemble import build, evaluate
    from elp_core.backbones import Backbone
    from elp_core.tasks import make_task
    from elp_core.training import train
    from pipelines.datasets.ingest import add_delivery
    from pipelines.datasets.versions import load_golden, load_split
    from pipelines.local.workspace import open_workspace
    from pipelines.registry.slot import Slot

    workspace, slot = open_workspace(folder), Slot.parse(slot_name)
    version = add_delivery(workspace, slot, source, "fsdd", SLOTS[slot_name])
    cache, settings = workspace.state / "cache", workspace.settings.for_slot(slot)
    clips = {s: load_split(str(folder), version.tag, slot, (s,), cache) for s in ("train", "validation")}
    golden = load_golden(str(folder), version.tag, slot, cache).clips
    task = make_task(slot.task, clips["train"], settings.task)
    model = build(Backbone.from_pretrained(workspace.settings.backbone), settings.adapter, task, settings.train.seed)
    before = evaluate(model, golden).value
    started = time.monotonic()
    result = train(model, clips["train"], clips["validation"], settings.train, Quiet(slot_name), None)
    seconds = time.monotonic() - started
    score = evaluate(model, golden)
    minutes = sum(c.duration for c in clips["train"]) / 60
    count = sum(p.numel() for p in model.trainable().values())
    return Row(slot_name, score.metric, score.value, dict(score.extra), before, minutes, count, result.epochs, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", default=",".join(SLOTS))
    parser.add_argument("--epochs", type=int, help="train less than the default")
    parser.add_argument("--options", default="", metavar="YAML", help="options of the task, other than the defaults")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    source = Path(os.environ.get("ELP_FSDD") or ROOT.parent / "shared" / "data" / "fsdd.tar.gz")
    if not source.exists():
        print("skipped: no real speech here; set ELP_FSDD to the Free Spoken Digit Dataset (folder or archive)")
        return
    from pipelines.local.initialise import init_workspace

    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "workspace"
        init_workspace(folder)
        names = arguments.slots.split(",")
        less = f", train: {{epochs: {arguments.epochs}}}" if arguments.epochs else ""
        less += f", task: {arguments.options}" if arguments.options else ""
        closed = "".join(f"  {name}: {{data: {{closed_set: true}}{less}}}\n" for name in names)
        (folder / "elp.yaml").write_text("slots:\n" + closed)
        import subprocess

        subprocess.run(["git", "commit", "-qam", "FSDD shares its speakers"], cwd=folder, check=True)
        rows = []
        for name in names:
            rows.append(measure(name, source, folder))
            print("| " + " | ".join(rows[-1].cells()) + " |", flush=True)
    lines = ["| " + " | ".join(HEADERS) + " |", "|" + "---|" * len(HEADERS)]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    lines.append("\nClosed set: the training data has the six speakers, but none of the test recordings.")
    print("\n".join(lines))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
