"""The journal file of a study: opened by several processes at once, and readable after a kill at any moment."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.locks import file_lock
from pipelines.tuning.time_spent import StudySession, is_alive

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.storages.journal import JournalFileOpenLock
    from optuna.trial import Trial

Sampler = Literal["tpe", "random"]
STARTUP = 6
"""Trials before the sampler's model is used."""
PRUNE_BELOW = 0.1
"""p-value of the Wilcoxon test at the rung below which a training ends."""
_FIXED = "fixed_params"
"""Optuna's attribute of a trial: the values that it was queued with."""
SESSION = "session"
"""Attribute of a trial: the session that runs it."""


def open_study(folder: Path, sampler: Sampler, seed: int) -> Study:
    """Open the study in `folder`, or make it; a line that a power failure cut off is removed from its journal."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / "journal.log"
    with file_lock(folder / "study.lock"):
        # a line that another process is writing is not cut off
        with file_lock(folder / "journal.lock"):
            _drop_cut_line(journal)
        storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=_journal_lock(folder / "journal.lock")))
        study = optuna.create_study(
            storage=storage, study_name="tune", direction="minimize", load_if_exists=True, pruner=_pruner()
        )
    # a session that continues must not draw the points of the one before again
    study.sampler = _sampler(sampler, seed + len(study.get_trials(deepcopy=False)))
    return study


def ask_trial(study: Study, ranges: dict[str, BaseDistribution], session: StudySession) -> Trial:
    """Return the next trial with its session; no other process sees a trial that runs and has none."""
    with file_lock(session.folder.with_name("study.lock")):
        trial = study.ask(ranges)
        trial.set_user_attr(SESSION, session.name)
    return trial


def free_dead_trials(study: Study, folder: Path) -> int:
    """Put the trials of sessions that were killed back into the queue; return their number."""
    from optuna.trial import TrialState

    with file_lock(folder / "study.lock"):
        known = study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))
        dead = [
            trial
            for trial in known
            if trial.state == TrialState.RUNNING and not is_alive(folder, trial.user_attrs.get(SESSION, ""))
        ]
        queued = [trial.system_attrs.get(_FIXED) for trial in known if trial.state == TrialState.WAITING]
        for trial in dead:
            # a trial that was stopped while it began has not all of its queued values yet
            point = trial.params | trial.system_attrs.get(_FIXED, {})
            # queued first, because a kill between the two must not lose the point
            if point and point not in queued:
                study.enqueue_trial(point)
            study.tell(trial.number, state=TrialState.FAIL)
    return len(dead)


def _sampler(name: Sampler, seed: int) -> BaseSampler:
    from optuna.samplers import RandomSampler, TPESampler

    if name == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=STARTUP)


def _pruner() -> Any:
    from optuna.exceptions import ExperimentalWarning
    from optuna.pruners import WilcoxonPruner

    with warnings.catch_warnings():
        # its interface may change with a release of Optuna, and the release is pinned
        warnings.simplefilter("ignore", ExperimentalWarning)
        return WilcoxonPruner(p_threshold=PRUNE_BELOW)


def _journal_lock(path: Path) -> JournalFileOpenLock:
    """Return a lock for the journal that the system releases when its process ends in any way.

    Optuna's own locks are files: one that a killed process left is waited for half a minute.
    """
    from optuna.storages.journal import JournalFileOpenLock

    class _SystemLock(JournalFileOpenLock):
        def __init__(self) -> None:
            super().__init__(str(path))
            self._held = contextlib.ExitStack()
            self._threads = threading.Lock()

        def acquire(self) -> bool:
            self._threads.acquire()
            self._held.enter_context(file_lock(path))
            return True

        def release(self) -> None:
            self._held.close()
            self._threads.release()

    return _SystemLock()


def _drop_cut_line(journal: Path) -> None:
    """Remove the end of a journal whose last line is cut off: Optuna would refuse the whole file."""
    if not journal.is_file():
        return
    with journal.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
            os.fsync(file.fileno())
