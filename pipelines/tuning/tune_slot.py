"""`elp tune` as one function: rank the layers, search, confirm the finalists on new seeds, and write the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.config import to_dict
from pipelines.comparison.trial_runner import json_digest
from pipelines.datasets.readiness import SplitContent, training_needs
from pipelines.datasets.slot_language import require_same_language
from pipelines.datasets.versions import load_split, version_at
from pipelines.errors import NotTrainable
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock
from pipelines.number_text import count
from pipelines.registry.slot import Slot
from pipelines.tuning import candidate_size, head_space, layer_ranking, search_space, study_journal, tuning_study
from pipelines.tuning.candidate_size import CandidateSizes
from pipelines.tuning.confirmation import least_difference, resolution
from pipelines.tuning.finalists import choose_finalists, confirm_finalists, fixed_trial, searched_trials
from pipelines.tuning.layer_ranking import ranked_layers, ranking_candidate
from pipelines.tuning.search_space import SearchSpace, head_only, present_candidate
from pipelines.tuning.study_journal import free_dead_trials, open_study
from pipelines.tuning.time_spent import open_session, seconds_spent
from pipelines.tuning.trial_store import TrialStore, modules_digest
from pipelines.tuning.tune_request import TuneHooks, TuneRequest
from pipelines.tuning.tune_trial import TuneResult
from pipelines.tuning.tuning_result import TuningResult, choose_winner
from pipelines.tuning.tuning_session import TuningSession, shortened, without_speed_limits
from pipelines.tuning.tuning_study import (
    Limits,
    SearchPlan,
    add_present,
    enqueue_points,
    failed_trials,
    importances,
    point_words,
    require_room,
    search,
    tried,
)

if TYPE_CHECKING:
    from optuna import Study

SLOWER = 1.25
"""How many times the time of the present answers a configuration may need; the measurement varies on a busy machine."""


def tune_slot(
    workspace: Workspace, slot: Slot, request: TuneRequest, hooks: TuneHooks | None = None
) -> tuple[TuningResult, Path]:
    """Search for a configuration of a slot and confirm it; return what was found, and the folder of the report.

    Called again with the same data, settings and code, it continues the study with what is left of the minutes; what
    was trained is not trained again. Raises NotTrainable if the data cannot be trained on, UsageError if the
    transcripts are in another language than the settings declare, OpsError if the present configuration cannot be
    trained.
    """
    from elp_core.backbones import Backbone
    from pipelines.tuning.tuning_report import write_tuning_report

    hooks = hooks or TuneHooks()
    dataset, chosen = version_at(workspace, request.version, slot), workspace.settings.for_slot(slot)
    require_same_language(dataset, chosen.language)
    clips = load_split(str(workspace.root), dataset.tag, slot, ("train", "validation"), workspace.cache, columns="meta")
    training, validation = ([clip for clip in clips if clip.split == split] for split in ("train", "validation"))
    if faults := training_needs(slot, SplitContent.of(training), SplitContent.of(validation)):
        raise NotTrainable(dataset.tag, faults)
    backbone = Backbone.from_pretrained(workspace.settings.backbone_of(slot))
    store = TrialStore(workspace, slot, dataset, backbone.fingerprint)
    epochs = shortened(chosen.train.epochs)
    present = store.key(store.spec(present_candidate(chosen), epochs=epochs, seed=chosen.train.seed))
    code = modules_digest(search_space, head_space, candidate_size, layer_ranking, study_journal, tuning_study)
    key = json_digest([present, code, request.parameters, request.seeds, request.sampler, to_dict(chosen.gate)])
    folder = workspace.cache / "tuning" / key[:16]
    hooks.opened(key, dataset.tag)
    sizes = CandidateSizes(backbone, slot, dataset, chosen, training)
    with open_session(folder) as session:
        study = open_study(folder, request.sampler, chosen.train.seed)
        found = _tuned(TuningSession(request, hooks, store, sizes, session, folder), study, key)
    report = workspace.state / "tuning" / f"{slot.site}-{slot.task}-{key[:8]}"
    write_tuning_report(found, report)
    hooks.log(f"report: {report / 'tune.html'}")
    return found, report


def _tuned(session: TuningSession, study: Study, key: str) -> TuningResult:
    request, store, settings = session.request, session.store, session.sizes.settings
    if freed := free_dead_trials(study, session.folder):
        session.hooks.log(f"{count(freed, 'trial')} of a session that was stopped: tried again")
    own, ranking = session.present, ranking_candidate(session.present, settings.task)
    size = session.sizes.count(own)
    # a point without adapter parts has no layers
    require_room(SearchSpace(settings, (0,)), session.sizes.count, size, _limit(request, size))
    present = session.required("present configuration", own, session.trial_spec(own))
    shown = least_difference(store.scores(session.trial_spec(own)), settings.gate, store.dataset.closed_set)
    shows = resolution(present.clips, shown, settings.gate.margin)
    session.hooks.log(shows)
    bare = head_only(own)
    alone = session.train("head alone", bare, session.trial_spec(bare))
    layers = session.required("layer weights", ranking, without_speed_limits(session.trial_spec(ranking)))
    space = SearchSpace(settings, ranked_layers(layers.shares))
    session.hooks.log(f"layers by their learned weight: {', '.join(map(str, space.ranking))}")
    limits = Limits(_limit(request, present.parameters), SLOWER * present.slowdown)
    seeds = tuple(session.seed + 1 + number for number in range(request.seeds))
    _search(session, study, space, limits, present, seeds)
    trials = (
        fixed_trial("present", own, present, present.parameters),
        fixed_trial("head only", bare, alone, session.sizes.count(bare)),
        *searched_trials(study, space),
    )
    found = TuningResult(
        slot=str(store.slot),
        dataset=store.dataset.tag,
        backbone=store.workspace.settings.backbone_of(store.slot),
        study=key[:16],
        metric=present.metric,
        margin=settings.gate.margin,
        epochs=session.epochs,
        trial_epochs=session.trial_epochs,
        seeds=seeds,
        seconds=0.0,
        parameter_limit=limits.parameters,
        layer_shares=tuple(round(share, 4) for share in layers.shares),
        note=f"{present.note}; {shows}",
        trials=trials,
        importances={name: round(share, 3) for name, share in point_words(importances(study))},
    )
    confirmed, failed = confirm_finalists(session, choose_finalists(trials, present.value, found.margin), seeds)
    return replace(
        found,
        finalists=confirmed,
        unconfirmed=failed,
        winner=choose_winner(confirmed, found.present),
        seconds=round(seconds_spent(session.folder), 1),
    )


def _limit(request: TuneRequest, present: int) -> int:
    return max(1, round(request.parameters * present))


def _search(
    session: TuningSession,
    study: Study,
    space: SearchSpace,
    limits: Limits,
    present: TuneResult,
    seeds: tuple[int, ...],
) -> None:
    request = session.request
    plan = SearchPlan(
        space=space,
        limits=limits,
        count=session.sizes.count,
        train=lambda candidate, prune: session.train(
            f"trial of {candidate.title}", candidate, session.trial_spec(candidate), prune
        ),
        sampler=request.sampler,
        seed=session.seed,
        jobs=request.jobs,
    )
    if request.sampler == "tpe":
        # of two processes that begin at once, one adds them
        with file_lock(session.folder / "study.lock"):
            enqueue_points(study, plan)
            add_present(study, plan, present, session.store.rung(session.trial_spec(session.present)))
    reserve = session.confirmation_seconds(present, seeds)
    if not (tried(study) or failed_trials(study)):
        session.require_time(present, seeds)
    search(study, plan, session.session, lambda done: session.wants_trial(done, reserve, present.seconds))
