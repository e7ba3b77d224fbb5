"""Compare methods on a slot: run a trial for each, fit the learning curve, write the report, log a run in MLflow."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

from elp_core.errors import OpsError
from pipelines.comparison.comparison_report import COMPARISON_PAGE, write_comparison
from pipelines.comparison.findings import differences, findings, pairs_of
from pipelines.comparison.learning_curve import PredictedError, curve_advice, fit_power_law, predict_error
from pipelines.comparison.method_comparison import MethodComparison
from pipelines.comparison.method_trial import MethodTrial, WantedTrial
from pipelines.comparison.rate_budget import FACTORS, RateChoice, choose_rates, tuning_trials
from pipelines.comparison.repeated_methods import Key, Repeats, finished_seeds, repeat_sentences
from pipelines.comparison.trial_runner import FailedTrial, Progress, TrialRunner, json_digest
from pipelines.datasets.versions import golden_ref, version_at
from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace
from pipelines.registry.client import runs
from pipelines.registry.client.connection import connect
from pipelines.registry.lineage import normaliser_text
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient

Log = Callable[[str], None]
OWN = "slot"
"""Name of the slot's own adapter configuration."""


@dataclass(frozen=True)
class ComparisonRequest:
    """What to compare."""

    methods: tuple[str, ...]
    """Names in `elp_core.methods.METHODS`, or `OWN`."""
    shares: tuple[float, ...]
    """Shares of the training split for the learning curve; empty for no curve."""
    curve_method: str = "elp"
    seeds: int = 1
    """Trainings of each method, with seeds that follow the slot's."""
    budget: int = 1
    """Learning rates that each method is tried with; the validation split chooses one (`rate_budget`)."""
    heads: tuple[str, ...] = ()
    """Heads of the task that each method is trained with; empty for the slot's own."""


def compare_methods(
    workspace: Workspace,
    slot: Slot,
    version: str,
    request: ComparisonRequest,
    *,
    mlflow_uri: str,
    log: Log = print,
    progress: Progress = lambda done, total, note: None,
) -> tuple[MethodComparison, Path]:
    """Train and evaluate every method on one dataset version.

    A trial that was already done with the same data, settings, code and backbone is not repeated, so a comparison that
    was interrupted continues. The report is in the folder that is returned, and in a run of the slot's experiment.
    Raises OpsError if every method's trial failed, UsageError if the transcripts are in another language than the
    settings declare; single failures are in `MethodComparison.failed`.
    """
    from elp_core.backbones import Backbone

    _check(request, slot)
    client = connect(mlflow_uri)
    dataset = version_at(workspace, version, slot)
    golden = golden_ref(workspace, dataset.tag, slot)
    backbone = Backbone.from_pretrained(workspace.settings.backbone_of(slot))
    runner = TrialRunner(workspace, slot, dataset, golden, backbone, log)
    found = compare_with(runner, request, progress)
    folder = workspace.state / "comparisons" / json_digest(plain(found))[:16]
    write_comparison(found, folder)
    log(f"report: {folder / COMPARISON_PAGE}")
    _log_run(client, slot, found, folder)
    return found, folder


def compare_with(runner: TrialRunner, request: ComparisonRequest, progress: Progress) -> MethodComparison:
    """Run the trainings of a request that were not done yet, and return what they show; raises as `compare_methods`."""
    return _comparison(runner, request, *_train(runner, request, progress))


def predict_curve(curve: Sequence[MethodTrial]) -> tuple[tuple[PredictedError, ...], str]:
    """Return predictions for two and four times the present audio, and the advice in words."""
    if not curve:
        return (), ""
    last = max(curve, key=lambda trial: trial.share)
    law = fit_power_law([t.minutes for t in curve], [t.value for t in curve], 0.5 / max(1, last.tokens))
    ahead = tuple(predict_error(law, factor * last.minutes) for factor in (2, 4)) if law and law.falls else ()
    return ahead, curve_advice(law, last.minutes, last.value)


def _train(
    runner: TrialRunner, request: ComparisonRequest, progress: Progress
) -> tuple[list[MethodTrial | FailedTrial], dict[Key, RateChoice]]:
    """Run the tries of the budget and then all trainings with the chosen rates; return these and the choices."""
    heads = request.heads or ("",)
    names = list(dict.fromkeys(request.methods))
    # the curve has one seed and one head
    only_curve = [request.curve_method] if request.shares and request.curve_method not in names else []
    choices, lost = dict[Key, RateChoice](), list[FailedTrial]()
    if request.budget > 1:
        tries = tuning_trials(names, heads, request.budget) + tuning_trials(only_curve, heads[:1], request.budget)
        chosen, lost = choose_rates(tries, runner.run_all(tries, progress))
        choices = {(one.method, one.head): one for one in chosen}
    gone = {(one.method, one.head) for one in lost}

    def wanted(method: str, head: str, share: float = 1.0, seed: int = 0) -> WantedTrial:
        choice = choices.get((method, head))
        return WantedTrial(method, share, seed, choice.factor if choice else 1.0, head)

    pairs = [(name, head) for head in heads for name in names if (name, head) not in gone]
    trials = [wanted(*pair, seed=seed) for seed in range(request.seeds) for pair in pairs]
    if request.shares and (request.curve_method, heads[0]) not in gone:
        trials += [wanted(name, heads[0]) for name in only_curve]
        shares = sorted({share for share in request.shares if share < 1.0})
        trials += [wanted(request.curve_method, heads[0], share) for share in shares]
    return [*lost, *runner.run_all(trials, progress)], choices


def _check(request: ComparisonRequest, slot: Slot) -> None:
    from elp_core.methods import METHODS

    known = (*METHODS, OWN)
    unknown = [name for name in (*request.methods, request.curve_method) if name not in known]
    if unknown or not request.methods:
        raise UsageError(f"unknown method {', '.join(unknown) or '(none)'}; expected some of {', '.join(known)}")
    wrong = [share for share in request.shares if not 0 < share <= 1]
    if wrong:
        raise UsageError(f"{wrong[0]} is not a share of the training audio; expected more than 0, up to 1")
    if request.seeds < 1 or not 1 <= request.budget <= len(FACTORS):
        asked = f"{request.seeds} seeds and {request.budget} rates"
        raise UsageError(f"{asked} are asked for; expected 1 seed or more, and 1 to {len(FACTORS)} rates")
    known_heads = get_args(get_type_hints(slot.task_spec.options).get("head"))
    strange = [head for head in request.heads if head not in known_heads]
    if strange or len(set(request.heads)) < len(request.heads):
        expected = f"some of {', '.join(known_heads)}, each once" if known_heads else "none: the task has one head"
        raise UsageError(f"heads are {', '.join(request.heads)}; {slot.task} expects {expected}")


def _comparison(
    runner: TrialRunner,
    request: ComparisonRequest,
    results: Sequence[MethodTrial | FailedTrial],
    choices: Mapping[Key, RateChoice],
) -> MethodComparison:
    from elp_core.methods import METHODS

    dataset, policy = runner.dataset, runner.policy
    failed = tuple(one for one in results if isinstance(one, FailedTrial))
    trials = [one for one in results if isinstance(one, MethodTrial)]
    whole = finished_seeds(trials, request.methods, request.heads or ("",), request.seeds)
    if not whole:
        reasons = "\n".join(f"{one.method}: {one.reason}" for one in failed)
        raise OpsError(f"no method could be trained on {dataset.tag}:\n{reasons}")
    several = request.seeds > 1 or request.budget > 1 or bool(request.heads)
    head = next(head for _, head in whole)
    methods = tuple(seeds[0] for (_, own), seeds in whole.items() if own == head)
    repeats = summary = None
    if several:
        scores = {key: [runner.scores(trial) for trial in seeds] for key, seeds in whole.items()}
        repeats = Repeats(whole, scores, policy, dataset.closed_set)
        summary = repeats.summary(request.budget, choices)
    if repeats and request.seeds > 1:
        methods = repeats.rows(head)
        found = repeats.differences(head, pairs_of(methods))
    else:
        own = {trial.method: runner.scores(trial) for trial in methods}
        found = differences(own, pairs_of(methods), policy, dataset.closed_set)
    parts = [trial for trial in trials if (trial.method, trial.head, trial.seed) == (request.curve_method, head, 0)]
    curve = tuple(sorted(parts, key=lambda trial: trial.share)) if request.shares else ()
    ahead, advice = predict_curve(curve)
    return MethodComparison(
        slot=str(runner.slot),
        dataset=dataset.tag,
        golden=runner.golden.tag + (f" ({runner.golden.evaluation})" if runner.golden.evaluation else ""),
        backbone=runner.backbone.id,
        fingerprint=runner.backbone.fingerprint,
        metric=methods[0].metric,
        confidence=policy.confidence,
        closed_set=dataset.closed_set,
        hardware=f"{methods[0].device}, {methods[0].threads} threads of {platform.machine()}",
        methods=methods,
        differences=found,
        about={name: METHODS[name].about if name in METHODS else "the slot's own configuration" for name, _ in whole},
        curve_method=request.curve_method,
        curve=curve,
        ahead=ahead,
        failed=failed,
        findings=(
            *findings(runner.slot.task, methods, found, advice, policy.margin, failed),
            *(repeat_sentences(summary) if summary else []),
        ),
        repeats=summary,
        normaliser=normaliser_text(dataset.language.normaliser) if dataset.language.normaliser else "",
    )


def _log_run(client: MlflowClient, slot: Slot, found: MethodComparison, folder: Path) -> None:
    """Log the comparison as a run of the slot's experiment; the same comparison is the same run."""
    tags = {"elp.slot": str(slot), "elp.dataset": found.dataset, "elp.kind": "comparison"}
    key = f"compare-{json_digest(plain(found))}"
    run = runs.open_run(client, slot, key, f"methods compared on {found.dataset.rsplit('/', 1)[-1]}", tags)
    names = ("lower", "upper", "parameters", "train_seconds", "peak_bytes", "bundle_bytes", "real_time_factor")
    numbers: dict[str, float] = {}
    for trial in found.methods:
        values = {found.metric: trial.value, **trial.also, **{name: getattr(trial, name) for name in names}}
        numbers |= {f"{trial.method}.{name}": float(value) for name, value in values.items() if value is not None}
    runs.log_metrics(client, run, numbers)
    runs.log_folder(client, run, folder, "comparison")
    runs.close_run(client, run)
