"""The table of the ELP paper (arXiv 2407.21066) from the published corpora and a checkpoint, in one command.

    python benchmarks/paper.py --backbone CHECKPOINT --work FOLDER --librispeech LibriSpeech
        --librilight librispeech_finetuning --voxceleb VoxCeleb1 --iemocap IEMOCAP_full_release
        --fluent fluent_speech_commands_dataset [--methods full,bottleneck,e,l,el,elp]

Four tasks: WER on LibriSpeech after training on the 10 hours of Libri-Light, EER on the official trials of VoxCeleb1-O,
accuracy on IEMOCAP under both protocols, accuracy of the intent on Fluent Speech Commands. A corpus that is not given
is left out. Every cell has its interval and its protocol; results stay in FOLDER, so that a run that was stopped
continues. The table is printed and written to FOLDER/paper.md and FOLDER/paper.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paper_table import Cell, markdown, pooled

if TYPE_CHECKING:
    from pipelines.comparison.trial_runner import TrialRunner
    from pipelines.local.workspace import Workspace

METHODS = ("full", "bottleneck", "el", "l", "e", "elp")
WHOLE_CORPUS = {
    "min_seconds": 0.05, "max_seconds": 160.0, "max_silence": 1.0, "min_snr_db": -100.0, "max_clipping": 1.0,
}  # fmt: skip
"""Limits on clips that keep every clip of a published corpus: a figure on a part of it is another figure."""


@dataclass(frozen=True)
class Part:
    """One slot of the table: its deliveries, in their order."""

    column: str
    slot: str
    deliveries: tuple[tuple[Path, str, Mapping[str, str]], ...]
    """Source, format and options of the format."""
    closed_set: bool = False


@dataclass(frozen=True)
class Corpora:
    """The trees that are here."""

    librispeech: Path | None = None
    librilight: Path | None = None
    voxceleb: Path | None = None
    iemocap: Path | None = None
    fluent: Path | None = None
    test: str = "test-clean"
    """Part of LibriSpeech that the WER is measured on; dev-clean chooses the epoch."""
    folds: tuple[int, ...] = (1, 2, 3, 4, 5)

    def parts(self) -> Iterator[Part]:
        """Yield the slots of the table that these corpora give."""
        if self.librispeech and self.librilight:
            given = {"parts": f"dev-clean,{self.test}"}
            speech = ((self.librilight, "librispeech", {}), (self.librispeech, "librispeech", given))
            yield Part(f"ASR WER, {self.test}", "librispeech/asr", speech)
        if self.voxceleb:
            yield Part("ASV EER, VoxCeleb1-O", "voxceleb/asv", ((self.voxceleb, "voxceleb", {"trials": "O"}),))
        for protocol, name in (("random-folds", "random folds"), ("leave-one-session-out", "unknown speakers")):
            for fold in self.folds if self.iemocap else ():
                assert self.iemocap is not None
                given = {"protocol": protocol, "fold": str(fold)}
                closed = protocol == "random-folds"
                delivery = ((self.iemocap, "iemocap", given),)
                yield Part(f"SER accuracy, {name}", f"iemocap-{protocol[:6]}-{fold}/ser", delivery, closed)
        if self.fluent:
            delivery = ((self.fluent, "fluent-speech-commands", {}),)
            yield Part("SIC accuracy", "fluent/sic", delivery)


@dataclass
class Results:
    """What was measured so far, by column."""

    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    protocols: dict[str, str] = field(default_factory=dict)


def prepare(work: Path, backbone: str, parts: Sequence[Part], settings: Mapping[str, Any]) -> Workspace:
    """Return the workspace of the benchmark, made or opened, with settings for every part."""
    import yaml

    from pipelines.local.initialise import init_workspace
    from pipelines.local.workspace import open_workspace

    if not (work / "elp.yaml").is_file():
        init_workspace(work)
    slots = {part.slot: {**settings, "data": {**WHOLE_CORPUS, "closed_set": part.closed_set}} for part in parts}
    text = yaml.safe_dump({"backbone": backbone, "remote": ".elp/remote", "slots": slots}, sort_keys=True)
    if (work / "elp.yaml").read_text(encoding="utf-8") != text:
        (work / "elp.yaml").write_text(text, encoding="utf-8")
        subprocess.run(["git", "-C", str(work), "commit", "-qam", "Settings of the paper's table"], check=True)
    return open_workspace(work)


def take_in(workspace: Workspace, part: Part) -> TrialRunner:
    """Take the deliveries of a part in, and return the runner of its trials."""
    from elp_core.backbones import Backbone
    from pipelines.comparison.trial_runner import TrialRunner
    from pipelines.datasets.ingest import add_delivery
    from pipelines.datasets.versions import find_latest, golden_ref
    from pipelines.registry.slot import Slot

    slot = Slot.parse(part.slot)
    for source, importer, given in part.deliveries:
        print(f"{slot}: taking in {source}", flush=True)
        add_delivery(workspace, slot, source, importer, {"format_options": given})
    dataset = find_latest(workspace, slot)
    assert dataset is not None
    lost = f", {dataset.quarantined} in quarantine" if dataset.quarantined else ""
    print(f"{slot}: {dataset.splits}{lost}", flush=True)
    backbone, golden = (
        Backbone.from_pretrained(workspace.settings.backbone),
        golden_ref(workspace, dataset.golden, slot),
    )
    return TrialRunner(workspace, slot, dataset, golden, backbone, lambda line: print(f"{slot}: {line}", flush=True))


def measure(workspace: Workspace, parts: Sequence[Part], methods: Sequence[str]) -> Iterator[Results]:
    """Train and evaluate every method on every part; yield the results after each column."""
    from pipelines.comparison.method_trial import WantedTrial
    from pipelines.comparison.trial_runner import FailedTrial

    results = Results()
    for column in dict.fromkeys(part.column for part in parts):
        found: dict[str, list[Any]] = {method: [] for method in methods}
        names: list[str] = []
        sizes: dict[str, int] = {}
        mine = [part for part in parts if part.column == column]
        for part in mine:
            runner = take_in(workspace, part)
            names.append(runner.golden.evaluation)
            for method in methods:
                (trial,) = runner.run_all([WantedTrial(method)], lambda *_: None)
                if isinstance(trial, FailedTrial):
                    found[method].append(trial.reason)
                else:
                    sizes[method] = trial.parameters
                    found[method].append(runner.scores(WantedTrial(method)))
        closed = any(part.closed_set for part in mine)
        results.cells[column] = {
            method: pooled(method, scores, runner.policy, closed, sizes.get(method, 0))
            for method, scores in found.items()
        }
        results.protocols[column] = "; ".join(dict.fromkeys(names)) + (" [closed set]" if closed else "")
        yield results


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", required=True, help="checkpoint: a folder, a hub id, or elp:tiny")
    parser.add_argument("--work", required=True, type=Path, help="workspace of the benchmark; made if missing")
    for name in ("librispeech", "librilight", "voxceleb", "iemocap", "fluent"):
        parser.add_argument(f"--{name}", type=Path, metavar="DIR")
    parser.add_argument("--methods", default=",".join(METHODS), help=f"[default: {','.join(METHODS)}]")
    tests = ("test-clean", "test-other")
    parser.add_argument("--test", default=tests[0], choices=tests, help="part of LibriSpeech [default: test-clean]")
    parser.add_argument("--folds", default="1,2,3,4,5", help="folds of IEMOCAP [default: all]")
    parser.add_argument("--settings", default="{}", metavar="YAML", help="settings of every slot, as in elp.yaml")
    given = parser.parse_args(arguments)
    import yaml

    trees = {name: getattr(given, name) for name in ("librispeech", "librilight", "voxceleb", "iemocap", "fluent")}
    absent = [f"--{name} {path}" for name, path in trees.items() if path and not path.is_dir()]
    if absent or not any(trees.values()):
        parser.error(
            f"{', '.join(absent)} is no folder" if absent else "give at least one corpus, such as --voxceleb DIR"
        )
    if bool(given.librispeech) != bool(given.librilight):
        parser.error("ASR needs both --librispeech (evaluation) and --librilight (10 hours of training)")
    folds = tuple(int(fold) for fold in given.folds.split(","))
    parts = list(Corpora(**trees, test=given.test, folds=folds).parts())
    workspace = prepare(given.work, given.backbone, parts, yaml.safe_load(given.settings))
    for results in measure(workspace, parts, given.methods.split(",")):
        # after every column: a run of days that is stopped keeps what it has
        values = {"backbone": given.backbone, "settings": yaml.safe_load(given.settings), **asdict(results)}
        (given.work / "paper.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
        (given.work / "paper.md").write_text(markdown(given.backbone, results.cells, results.protocols), "utf-8")
    print((given.work / "paper.md").read_text(encoding="utf-8"))
    failed = [cell.failed for column in results.cells.values() for cell in column.values() if cell.failed]
    return 1 if failed else 0


if __name__ == "__main__":
    from elp_core.errors import ElpError

    try:
        sys.exit(main())
    except ElpError as error:
        sys.exit(str(error))
