"""The time of a sweep, and what conditions in training change under the families of the sweep, on real speech.

    python benchmarks/bench_robustness.py [--slot noisy-site/asr] [--epochs N] [--share S] [--clips N]
    python benchmarks/bench_robustness.py --trainings 0,0.5 --folder DIR

Needs ELP_FSDD (a folder or the archive). Each training is the slot's default one with another share of copies that get
conditions (`augment.conditions`); 0 is the usual augmentation. Each adapter answers the published test split, which is
the golden set, clean and under all families at four severities, by the code of `elp sweep`. `--epochs` and `--share`
(of the training clips, taken by their hash) make it shorter: the figures of the usual length need hours. `--light`
trains an L-only adapter without masks: the frozen prefix runs once for each copy, so a training takes minutes.
Adapters and answers stay in `--folder`, by slot and options, and a second call continues with what is missing, also in
the middle of a training. The intervals resample the clips, the same ones for both adapters and all conditions.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_real_speech import SLOTS, Quiet

if TYPE_CHECKING:
    from elp_core.model import ElpModel
    from elp_core.types import Clip
    from pipelines.local.settings import SlotSettings
    from pipelines.robustness.sweep_cells import CellScores, SimulatedCondition
    from pipelines.robustness.sweep_result import RobustnessSweep

ROOT = Path(__file__).resolve().parents[1]


def prepared(slot_name: str, source: Path, folder: Path) -> tuple[dict[str, list[Clip]], SlotSettings]:
    """Return the clips of a slot's splits after intake with its checks, and its settings."""
    import subprocess

    from pipelines.datasets.ingest import add_delivery
    from pipelines.datasets.versions import find_latest, load_golden, load_split
    from pipelines.local.initialise import init_workspace
    from pipelines.local.workspace import open_workspace
    from pipelines.registry.slot import Slot

    slot = Slot.parse(slot_name)
    settings = f"slots:\n  {slot_name}: {{data: {{closed_set: true}}}}\n"
    if not (folder / "elp.yaml").is_file():
        init_workspace(folder)
    if (folder / "elp.yaml").read_text() != settings:
        (folder / "elp.yaml").write_text(settings)
        subprocess.run(["git", "commit", "-qam", "FSDD shares its speakers"], cwd=folder, check=True)
    workspace = open_workspace(folder)
    version = find_latest(workspace, slot) or add_delivery(workspace, slot, source, "fsdd", SLOTS[slot_name])
    cache = workspace.state / "cache"
    clips = {s: load_split(str(folder), version.tag, slot, (s,), cache) for s in ("train", "validation")}
    clips["test"] = list(load_golden(str(folder), version.tag, slot, cache).clips)
    return clips, workspace.settings.for_slot(slot)


def trained(
    clips: dict[str, list[Clip]], settings: SlotSettings, task_name: str, conditions: float, bundle: Path
) -> ElpModel:
    """Return the model after a training with this share of copies with conditions; a bundle that is there is taken."""
    from elp_core.assemble import build
    from elp_core.backbones import Backbone
    from elp_core.bundle import load_bundle, write_bundle
    from elp_core.tasks import make_task
    from elp_core.training import train

    backbone = Backbone.from_pretrained("elp:tiny")
    if not (bundle / "manifest.json").is_file():
        config = settings.train
        config = dataclasses.replace(config, augment=dataclasses.replace(config.augment, conditions=conditions))
        model = build(backbone, settings.adapter, make_task(task_name, clips["train"], settings.task), config.seed)
        started, used = time.monotonic(), time.process_time()
        # each with its own copies of clips, so that no training is faster because of the one before
        kept = bundle.with_name(f"{bundle.name}-checkpoint"), bundle.with_name(f"{bundle.name}-features")
        kept[0].parent.mkdir(parents=True, exist_ok=True)
        train(model, clips["train"], clips["validation"], config, Quiet(f"conditions {conditions:g}"), *kept)
        seconds, cpu = time.monotonic() - started, time.process_time() - used
        print(f"conditions {conditions:g}: trained in {seconds:.0f} s ({cpu:.0f} s of CPU)", flush=True)
        write_bundle(bundle, model, {"slot": f"bench/{task_name}"}, {})
    return load_bundle(bundle, backbone)


def shortened(settings: SlotSettings, arguments: argparse.Namespace) -> SlotSettings:
    """Return the settings with the wanted epochs; `--light` leaves every state of the backbone as it is."""
    from light import LIGHT_ADAPTER, light_training

    train, adapter = settings.train, settings.adapter
    if arguments.epochs:
        train = dataclasses.replace(train, epochs=arguments.epochs)
    if arguments.light:
        train, adapter = light_training(train), LIGHT_ADAPTER
    return dataclasses.replace(settings, adapter=adapter, train=train)


def swept(
    models: list[tuple[str, ElpModel]], clips: list[Clip], settings: SlotSettings, slot: str, folder: Path
) -> tuple[RobustnessSweep, dict[SimulatedCondition, CellScores]]:
    """Sweep the models over all families, as `elp sweep` does without its registry; print the time of each."""
    from elp_core.conditions import SEVERITIES, SWEEP_FAMILIES
    from pipelines.gating.divided_evaluation import EvaluatedSystem
    from pipelines.robustness.sweep_cells import CLEAN, SimulatedCondition, SweepData, run_cells
    from pipelines.robustness.sweep_report import write_sweep
    from pipelines.robustness.sweep_result import SweepSubject, sweep_result

    systems = [EvaluatedSystem(name, f"sha256:{name}", folder, model) for name, model in models]
    data = SweepData(clips, clips, None, {}, folder / "cells")
    cells = [CLEAN, *(SimulatedCondition(one.name, level) for one in SWEEP_FAMILIES for level in SEVERITIES)]
    for system in systems:
        started, used = time.monotonic(), time.process_time()
        run_cells([system], data, cells, settings, lambda line: None, None)
        seconds, cpu = time.monotonic() - started, time.process_time() - used
        audio = sum(clip.duration for clip in clips) / 60
        print(
            f"{system.name}: {len(clips)} clips ({audio:.1f} min) under {len(cells)} conditions in {seconds:.0f} s "
            f"({cpu:.0f} s of CPU)",
            flush=True,
        )
    found = run_cells(systems, data, cells, settings, lambda line: None, None)
    versions = tuple((name, place + 1, f"sha256:{name}") for place, (name, _) in enumerate(models))
    subject = SweepSubject(slot, "FSDD, test split", "", len(clips), "elp:tiny", True, versions)
    started = time.monotonic()
    result = sweep_result(subject, found, settings.gate)
    write_sweep(result, folder / "report")
    print(f"intervals and report in {time.monotonic() - started:.0f} s", flush=True)
    return result, found


def print_ratio(found: dict[SimulatedCondition, CellScores], draws: int = 2000) -> None:
    """Print the second training's mean degradation as a share of the first one's, and the clean difference."""
    import numpy as np

    from pipelines.robustness.sweep_cells import CLEAN

    clips = len(found[CLEAN].scores[0].ids)
    # the first row is the clips as they are
    places = np.random.default_rng(0).integers(0, clips, (draws + 1, clips))
    places[0] = np.arange(clips)

    def rates(cell: SimulatedCondition, system: int) -> Any:
        scores: Any = found[cell].scores[system]
        return scores.errors[places].sum(axis=1) / scores.tokens[places].sum(axis=1)

    clean = [rates(CLEAN, system) for system in (0, 1)]
    changed = [cell for cell in found if cell != CLEAN]
    before, after = (sum(rates(cell, n) for cell in changed) / len(changed) - clean[n] for n in (0, 1))
    for name, drawn, factor, form in (
        ("mean degradation, second / first training", after / before, 1, ".2f"),
        ("clean, second - first training, points", clean[1] - clean[0], 100, "+.2f"),
    ):
        low, high = np.quantile(drawn[1:], [0.025, 0.975])
        print(f"{name}: {factor * drawn[0]:{form}} ({factor * low:{form}} … {factor * high:{form}})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slot", default="noisy-site/asr", choices=sorted(SLOTS))
    parser.add_argument("--epochs", type=int, help="train less than the default")
    parser.add_argument("--share", type=float, default=1.0, help="of the training clips")
    parser.add_argument("--clips", type=int, default=0, help="of the test split; 0 is all")
    parser.add_argument("--light", action="store_true", help="an L-only adapter without masks and joined clips")
    parser.add_argument("--folder", type=Path, help="keeps data, adapters and answers")
    parser.add_argument("--trainings", default="0,0.5", help="shares of copies with conditions: one or two")
    arguments = parser.parse_args()
    source = Path(os.environ.get("ELP_FSDD") or ROOT.parent / "shared" / "data" / "fsdd.tar.gz")
    if not source.exists():
        print("skipped: no real speech here; set ELP_FSDD to the Free Spoken Digit Dataset (folder or archive)")
        return
    from pipelines.robustness.sweep_words import family_headers, family_rows, sweep_sentences

    with tempfile.TemporaryDirectory() as temporary:
        parent = arguments.folder or Path(temporary)
        clips, settings = prepared(arguments.slot, source, parent / "workspace")
        # what other options made is not taken for this
        options = f"epochs-{arguments.epochs or 'all'}-share-{arguments.share:g}{'-light' * arguments.light}"
        made = parent / arguments.slot.replace("/", "-") / options
        train = sorted(clips["train"], key=lambda clip: clip.id)
        clips["train"] = train[: round(arguments.share * len(train))]
        settings = shortened(settings, arguments)
        test = sorted(clips["test"], key=lambda clip: clip.id)[: arguments.clips or None]
        task = arguments.slot.partition("/")[2]
        models = [
            (f"conditions {share:g}", trained(clips, settings, task, share, made / f"adapter-{share:g}"))
            for share in map(float, arguments.trainings.split(","))
        ]
        found, cells = swept(models, test, settings, arguments.slot, made / f"clips-{arguments.clips}")
    print("\n| " + " | ".join(family_headers(found)) + " |")
    print("|" + "---|" * len(family_headers(found)))
    print("\n".join("| " + " | ".join(row) + " |" for row in family_rows(found)))
    print("\n".join(sweep_sentences(found)))
    if len(found.systems) == 2:
        if task == "asv":
            print("no interval of the ratio: pairs of clips are not counted errors")
        else:
            print_ratio(cells)


if __name__ == "__main__":
    main()
