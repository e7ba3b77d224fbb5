r"""`elp tune` against random search and against the default configuration, in the time of a few default trainings.

    python benchmarks/bench_tune.py [--sets fsdd-asr,fsdd-asv,embedded-asr] [--seeds 10] [--trainings 6] --out tune.json
    python benchmarks/bench_tune.py --sets fsdd-asv --epochs 7 --takes 4 --margin 0.02 --in-process \
        --folder DIR --out tune.json   # short

Each seed is a study with `elp tune` and one with random search: the same space, the same length of a trial, the same
minutes, but uniform points, no starting points and no pruning. No study has the trainings of another, which would cost
it nothing. The minutes are those of `--trainings` default trainings, measured here. Both end with the confirmation on
new seeds; the lower of the two confirmed errors wins. The golden set is not read. Results are kept in `--out`, with the
options that made them, and not made again; with `--folder`, a study that was stopped continues. Fewer than 7 epochs
leave a trial without a rung, so nothing is pruned. Two cores share the seeds by `--seeds` and `--first-seed`, each
with an `--out` and a `--folder` of its own. Starting Python takes longer than a short trial: with `--in-process`
all trainings run in this process, and the minutes of both samplers go into trainings. Of the embedded corpus, 10
speakers validate: a half of them scores, and the usual 4 speakers could decide nothing. FSDD needs ELP_FSDD or
shared/data.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedded_takes import site_to_tune
from fsdd_takes import some_takes
from in_process import trains_here
from option_digest import option_digest

if TYPE_CHECKING:
    from pipelines.local.workspace import Workspace

SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "fsdd-asr": ("noisy-site/asr", {"noise": "factory", "snr": 5.0}),
    "fsdd-asv": ("clean-site/asv", {}),
    "embedded-asr": ("plant-a/asr", {}),
    "embedded-ser": ("plant-a/ser", {}),
}
"""Slot and options of the intake, by name of the set."""


def make_workspace(folder: Path, name: str, arguments: argparse.Namespace) -> None:
    """Make a workspace with the data of one set."""
    from pipelines.datasets.ingest import add_delivery
    from pipelines.local.initialise import init_workspace
    from pipelines.local.workspace import open_workspace
    from pipelines.registry.slot import Slot

    init_workspace(folder)
    slot, options = SETS[name]
    less = f", train: {{epochs: {arguments.epochs}}}" if arguments.epochs else ""
    less += f", gate: {{margin: {arguments.margin:g}}}" if arguments.margin else ""
    closed = "true" if name.startswith("fsdd") else "false"
    (folder / "elp.yaml").write_text(f"slots:\n  {slot}: {{data: {{closed_set: {closed}}}{less}}}\n")
    subprocess.run(["git", "commit", "-qam", "the slot of the benchmark"], cwd=folder, check=True)
    audio = folder.with_name(f"{folder.name}-audio")
    if name.startswith("fsdd"):
        source, importer = some_takes(audio, arguments.takes), "fsdd"
    else:
        label = "emotion" if name.endswith("ser") else ""
        source, importer = site_to_tune(audio, label, arguments.per_speaker, arguments.judged), None
    add_delivery(open_workspace(folder), Slot.parse(slot), source, importer, options)


def study(folder: Path, name: str, sampler: Any, seed: int, seconds: float, seeds: int) -> dict[str, Any]:
    """Run one study and return its figures."""
    from pipelines.local.workspace import open_workspace
    from pipelines.registry.slot import Slot
    from pipelines.tuning.tune_request import TuneHooks, TuneRequest
    from pipelines.tuning.tune_slot import tune_slot

    opened, slot = open_workspace(folder), Slot.parse(SETS[name][0])
    own = dict(opened.settings.slots[str(slot)])
    own["train"] = {**own.get("train", {}), "seed": 100 * seed}
    settings = replace(opened.settings, slots={str(slot): own})
    request = TuneRequest(minutes=seconds / 60, sampler=sampler, seeds=seeds)
    began = time.monotonic()
    found, _ = tune_slot(replace(opened, settings=settings), slot, request, TuneHooks(lambda line: print(" ", line)))
    best = min(found.finalists, key=lambda one: one.against_present.value, default=None)
    winner = None if found.winner is None else found.finalists[found.winner]
    put_aside(opened, f"{sampler}-{seed}")
    return {
        "trials": len(found.searched),
        "pruned": sum(trial.state == "pruned" for trial in found.searched),
        "best_trial": min((t.value for t in found.searched if t.state == "finished" and t.within), default=None),
        "confirmed": best and best.against_present.value,
        "present": best and best.against_present.present,
        "lower": best and best.against_present.lower,
        "upper": best and best.against_present.upper,
        "relation": winner and winner.against_present.relation,
        "winner": winner and winner.tried.title,
        "parameters": winner and winner.tried.parameters / found.present.parameters,
        "wall_seconds": round(time.monotonic() - began),
    }


def put_aside(opened: Workspace, name: str) -> None:
    """Keep the trainings of a study that has ended where the next one does not find them."""
    trials = opened.cache / "tuning" / "trials"
    target = trials.with_name(f"trials-{name}")
    # of a call that was ended before it wrote its result
    shutil.rmtree(target, ignore_errors=True)
    trials.rename(target)


def default_seconds(folder: Path, name: str) -> float:
    """Return the wall time of one default training in its own process, with data that are prepared already."""
    from elp_core.backbones import Backbone
    from pipelines.datasets.versions import version_at
    from pipelines.local.workspace import open_workspace
    from pipelines.registry.slot import Slot
    from pipelines.tuning.search_space import present_candidate
    from pipelines.tuning.trial_store import TrialStore

    opened, slot = open_workspace(folder), Slot.parse(SETS[name][0])
    fingerprint = Backbone.from_pretrained(opened.settings.backbone).fingerprint
    store, chosen = TrialStore(opened, slot, version_at(opened, "latest", slot), fingerprint), opened.settings
    # of a call that was ended here
    shutil.rmtree(store.folder, ignore_errors=True)
    settings = chosen.for_slot(slot)
    for seed in (7919, 7920):
        spec = store.spec(present_candidate(settings), epochs=settings.train.epochs, seed=seed)
        began = time.monotonic()
        store.run(spec, lambda done, total, note: None)
    seconds = time.monotonic() - began
    put_aside(opened, "default")
    return seconds


def better(tune: dict[str, Any], random: dict[str, Any]) -> str:
    """Return whether a study of `elp tune` ended with a lower confirmed error than random search: yes, no or equal."""
    ours, theirs = (one["confirmed"] if one["confirmed"] is not None else float("inf") for one in (tune, random))
    return "equal" if ours == theirs else "yes" if ours < theirs else "no"


def table(kept: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| set | seed | default | tune | tune − default, points | random | tune better | winner | of the parameters "
        "| relation | trials |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    won: dict[str, Counter[str]] = {}
    useful: dict[str, list[bool]] = {}
    for key in sorted(kept, key=lambda key: (len(key), key)):
        name, _, seed = key.partition(" tpe ")
        random = kept.get(f"{name} random {seed}")
        if not seed or not random:
            continue
        tune = kept[key]
        shown = [
            "–" if one is None else f"{one:.2%}" for one in (tune["present"], tune["confirmed"], random["confirmed"])
        ]
        share = "–" if tune["parameters"] is None else f"{tune['parameters']:.0%}"
        won.setdefault(name, Counter())[better(tune, random)] += 1
        useful.setdefault(name, []).append(tune["winner"] is not None)
        shown.insert(2, change(tune))
        cells = [name, seed, *shown, better(tune, random), tune["winner"] or "none"]
        cells += [share, tune["relation"] or "–", f"{tune['trials']} / {random['trials']}"]
        lines.append(f"| {' | '.join(cells)} |")
    for name, ours in won.items():
        lines.append(
            f"\n{name}: tune better in {ours['yes']} of {ours.total()} seeds, equal in {ours['equal']}; it has a "
            f"winner, which the gate calls no worse or better, in {sum(useful[name])}"
        )
    return "\n".join(lines)


def change(tune: dict[str, Any]) -> str:
    """Return the difference of the best finalist to the default, with its interval if it was kept."""
    if tune["confirmed"] is None:
        return "–"
    shown = f"{100 * (tune['confirmed'] - tune['present']):+.1f}"
    lower, upper = tune.get("lower"), tune.get("upper")
    return shown if lower is None or upper is None else f"{shown} ({100 * lower:+.1f} … {100 * upper:+.1f})"


def same_options(parser: argparse.ArgumentParser, arguments: argparse.Namespace, kept: dict[str, Any]) -> bool:
    """Note the options in the results, or refuse results of others; return whether results are older than this note."""
    names = ("trainings", "confirming", "epochs", "takes", "per_speaker", "judged", "margin", "in_process")
    options = {name: getattr(arguments, name) for name in names}
    older = bool(kept) and "options" not in kept
    if kept.setdefault("options", options) != options:
        parser.error(f"{arguments.out} has results of other options, {kept['options']}; give another --out")
    if older:
        print(f"the results in {arguments.out} name no options; they are taken as made with {options}")
    return older


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=10, help="studies of each kind")
    parser.add_argument("--first-seed", type=int, default=1, help="of the studies; another core can do the later ones")
    parser.add_argument("--trainings", type=float, default=6.0, help="minutes of a study, in default trainings")
    parser.add_argument("--confirming", type=int, default=2, help="new seeds of the confirmation")
    parser.add_argument("--epochs", type=int, help="train less than the default")
    parser.add_argument("--takes", type=int, default=40, help="training takes of FSDD")
    parser.add_argument("--per-speaker", type=int, default=8, help="recordings of a speaker of the embedded corpus")
    parser.add_argument("--judged", type=int, default=12, help="the same, of a speaker of its validation split")
    parser.add_argument("--margin", type=float, help="of the gate: 150 clips of FSDD cannot show the usual 0.01")
    parser.add_argument("--in-process", action="store_true", help="run the trainings in this process")
    parser.add_argument("--out", type=Path, required=True, help="results; kept and continued")
    parser.add_argument("--folder", type=Path, help="of the workspaces; kept and continued")
    arguments = parser.parse_args()
    if arguments.in_process:
        from pipelines.tuning import trial_store
        from pipelines.tuning.tune_trial import keep_tune_trial

        trial_store.run_child = trains_here(keep_tune_trial)
    kept: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    older = same_options(parser, arguments, kept)
    digest = option_digest(arguments, "sets", "seeds", "first_seed", "trainings", "confirming", "out", "folder")

    def keep(key: str, make: Any) -> Any:
        if key not in kept:
            kept[key] = make()
            arguments.out.write_text(json.dumps(kept, indent=1))
            print(key, kept[key], flush=True)
        return kept[key]

    with tempfile.TemporaryDirectory() as temporary:
        place = arguments.folder or Path(temporary)
        for name in arguments.sets.split(","):
            folder = place / (name if older else f"{name}-{digest}")
            if not (folder / "elp.yaml").is_file():
                make_workspace(folder, name, arguments)
            one = keep(f"{name} default training", lambda folder=folder, name=name: default_seconds(folder, name))
            for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
                for sampler in ("tpe", "random"):
                    budget = arguments.trainings * one
                    run = (folder, name, sampler, seed, budget, arguments.confirming)
                    keep(f"{name} {sampler} {seed}", lambda run=run: study(*run))
    print(table(kept))


if __name__ == "__main__":
    main()
