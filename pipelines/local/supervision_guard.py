"""The guard of the supervision: start the supervision again when it has ended, as it does with this process.

    python -m pipelines.local.supervision_guard

is started by `elp up` and ended by `elp down`. It does nothing else, so what ends the one seldom ends the other.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace

from elp_core.types import Seconds
from pipelines.local import lifecycle
from pipelines.local.addresses import Record, read_record
from pipelines.local.processes import alive
from pipelines.local.supervision import GUARD, SUPERVISOR, Ends, write_ends
from pipelines.local.workspace import Workspace, open_workspace

_EVERY: Seconds = 1.0
_ABANDONED: Seconds = 60.0
"""After this long without a place in the record of `elp up`, the process ends."""


def main() -> None:
    """Watch until `elp down` ends this process, or the record of `elp up` has another one."""
    workspace, ends, fault = open_workspace(), Ends(0, ()), ""
    # a start by a person begins a new count
    _keep(workspace, ends)
    known = time.monotonic()
    while time.monotonic() - known <= _ABANDONED:
        try:
            record = read_record(workspace) if workspace.root.is_dir() else Record(())
            if (me := record.find(GUARD)) and me.pid == os.getpid():
                known = time.monotonic()
                ends = guard(workspace, record, ends, time.time())
            fault = ""
        # of any kind: the supervision may be gone, too
        except Exception as error:
            known = time.monotonic()
            if str(error) != fault:
                _say(f"{type(error).__name__}: {error}; trying again")
            fault = str(error)
        time.sleep(_EVERY)


def guard(workspace: Workspace, record: Record, before: Ends, now: Seconds) -> Ends:
    """Start the supervision again if it has ended, after growing pauses; note and return its ends."""
    supervisor = record.find(SUPERVISOR)
    if supervisor is None:
        return before
    running = alive(supervisor)
    ends = replace(before, times=before.since(now)) if running else before
    if not running and before.pid != supervisor.pid:
        ends = Ends(supervisor.pid, (*before.since(now), now))
    if ends != before:
        _keep(workspace, ends)
    # also when it ends again and again: nothing else would be started again
    if not running and ends.may_start(now):
        lifecycle.start_again(workspace, supervisor, _say)
    return ends


def _keep(workspace: Workspace, ends: Ends) -> None:
    # a full disk must not keep the supervision down
    with contextlib.suppress(OSError):
        write_ends(workspace, {SUPERVISOR: ends} if ends.times else {}, GUARD)


def _say(text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


if __name__ == "__main__":
    main()
