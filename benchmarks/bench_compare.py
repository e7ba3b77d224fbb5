"""Methods of `elp compare` on four tasks, over seeds, tuned rates and heads: which claims of the ELP paper hold here.

    python benchmarks/bench_compare.py --folder DIR [--sets asr,asv,sic,ser] [--seeds 3] [--budget 1] [--heads mhfa,…]
    python benchmarks/bench_compare.py --folder DIR --methods full,weighted-sum,e,l,elp --epochs 6 --takes 10   # short

ASR, ASV and SIC (digit as intent) are FSDD with factory noise at 5 dB (a closed set), SER is the synthetic embedded
corpus. `--heads` is for the tasks that have several; a head that a task does not have is left out. Every training that
was done stays in DIR, so that a run that was stopped continues, and a further call may add methods, seeds, rates and
heads. DIR must be given the same --epochs, --takes and --per-speaker again. FSDD needs ELP_FSDD or shared/data.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

from fsdd_takes import some_takes
from in_process import trains_here

if TYPE_CHECKING:
    from pipelines.comparison.method_comparison import MethodComparison
    from pipelines.comparison.trial_runner import TrialRunner
    from pipelines.local.workspace import Workspace

SLOTS = {"asr": "noisy-site/asr", "asv": "noisy-site/asv", "sic": "noisy-site/sic", "ser": "plant-a/ser"}
NOISE = {"noise": "factory", "snr": 5.0}


def make_workspace(folder: Path, given: argparse.Namespace) -> Workspace:
    """Return the workspace with the data of the sets; what is there already stays."""
    from pipelines.datasets.ingest import add_delivery
    from pipelines.datasets.versions import find_latest
    from pipelines.demo.corpus import SITES, DeliveryPlan, write_delivery
    from pipelines.local.initialise import init_workspace
    from pipelines.local.workspace import open_workspace
    from pipelines.registry.slot import Slot

    if not (folder / "elp.yaml").is_file():
        init_workspace(folder)
        less = f", train: {{epochs: {given.epochs}}}" if given.epochs else ""
        closed = {name: "false" if name == "ser" else "true" for name in SLOTS}
        slots = [f"  {slot}: {{data: {{closed_set: {closed[name]}}}{less}}}\n" for name, slot in SLOTS.items()]
        (folder / "elp.yaml").write_text("slots:\n" + "".join(slots))
        subprocess.run(["git", "commit", "-qam", "the slots of the benchmark"], cwd=folder, check=True)
    workspace = open_workspace(folder)
    for name in given.sets.split(","):
        slot = Slot.parse(SLOTS[name])
        if find_latest(workspace, slot) is None:
            source, importer, options = folder.parent / f"{folder.name}-fsdd", "fsdd", NOISE
            if name == "ser":
                plan = DeliveryPlan("bench", given.per_speaker, label="emotion")
                source = write_delivery(SITES[0], plan, folder.parent / f"{folder.name}-emotions", seed=1)
                add_delivery(workspace, slot, source, None, {})
            else:
                add_delivery(workspace, slot, some_takes(source, given.takes), importer, options)
    return workspace


def runner_of(workspace: Workspace, name: str) -> TrialRunner:
    """Return the runner of the trials of one set."""
    from elp_core.backbones import Backbone
    from pipelines.comparison.trial_runner import TrialRunner
    from pipelines.datasets.versions import golden_ref, version_at
    from pipelines.registry.slot import Slot

    slot = Slot.parse(SLOTS[name])
    dataset = version_at(workspace, "latest", slot)
    golden, backbone = golden_ref(workspace, dataset.tag, slot), Backbone.from_pretrained(workspace.settings.backbone)
    return TrialRunner(workspace, slot, dataset, golden, backbone, lambda line: print(f"{name}: {line}", flush=True))


def heads_of(name: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the wanted heads that a task has."""
    from elp_core.task_specs import task_spec

    known = get_args(get_type_hints(task_spec(name).options).get("head"))
    return tuple(head for head in wanted if head in known)


def shown(name: str, found: MethodComparison) -> str:
    """Return the results of one set as Markdown."""
    from pipelines.comparison.comparison_report import comparison_markdown

    return comparison_markdown(found).replace(f"# Methods compared on {found.slot}", f"# {name}")


def main() -> None:
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="workspace with data and trials; kept and continued")
    parser.add_argument("--sets", default=",".join(SLOTS))
    parser.add_argument("--methods", default="", help="[default: all of the library]")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=1, help="learning rates that each method is tried with")
    parser.add_argument("--heads", default="", help="heads, such as attentive,mean,mhfa,lap")
    parser.add_argument("--epochs", type=int, help="train less than the default")
    parser.add_argument("--takes", type=int, default=40, help="training takes of FSDD; a take is 60 recordings")
    parser.add_argument("--per-speaker", type=int, default=30, help="recordings of a speaker of the embedded corpus")
    parser.add_argument("--in-process", action="store_true", help="run the trials in this process")
    given = parser.parse_args()

    from elp_core.methods import METHODS
    from pipelines.comparison import trial_runner
    from pipelines.comparison.compare_methods import ComparisonRequest, compare_with
    from pipelines.comparison.method_trial import keep_trial
    from pipelines.registry.plain_json import plain

    if given.in_process:
        # the peak memory is then that of all trials
        trial_runner.run_child = trains_here(keep_trial)
    workspace = make_workspace(given.folder, given)
    methods = tuple(given.methods.split(",")) if given.methods else tuple(METHODS)
    for name in given.sets.split(","):
        request = ComparisonRequest(
            methods, (), "elp", given.seeds, given.budget, heads_of(name, given.heads.split(","))
        )
        found = compare_with(runner_of(workspace, name), request, lambda *_: None)
        (given.folder.parent / f"{given.folder.name}-{name}.json").write_text(json.dumps(plain(found), indent=1))
        print(shown(name, found), flush=True)


if __name__ == "__main__":
    main()
