"""Named points around every durable write at which a test ends the process, as a power failure would.

    ELP_FAIL_POINT="after git commit" elp …

kills the process with SIGKILL when it reaches that point; ``before git commit#2`` means its second time, and
``ELP_FAIL_SIGNAL`` (such as SIGTERM) names another signal. Without the variable a point costs a look into the
environment. ``ELP_FAIL_POINT_LOG`` names a file that gets a line for each point that is reached.
"""

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator

VARIABLE = "ELP_FAIL_POINT"
LOG_VARIABLE = "ELP_FAIL_POINT_LOG"
SIGNAL_VARIABLE = "ELP_FAIL_SIGNAL"

_reached: Counter[str] = Counter()


@contextlib.contextmanager
def durable_write(name: str) -> Iterator[None]:
    """Enclose a write that outlives the process, between the points ``before NAME`` and ``after NAME``."""
    fail_point(f"before {name}")
    yield
    fail_point(f"after {name}")


def fail_point(name: str) -> None:
    """End the process here if a test wants it."""
    wanted, log = os.environ.get(VARIABLE, ""), os.environ.get(LOG_VARIABLE, "")
    if not wanted and not log:
        return
    _reached[name] += 1
    if log:
        # one write to a file opened for appending is whole, whichever process writes it
        with open(log, "ab", buffering=0) as file:
            file.write(f"{name}#{_reached[name]}\n".encode())
    if wanted in (f"{name}#{_reached[name]}", name):
        os.kill(os.getpid(), signal.Signals[os.environ.get(SIGNAL_VARIABLE, "SIGKILL")])
