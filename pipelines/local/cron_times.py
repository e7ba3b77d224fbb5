"""Cron expressions as Prefect reads them, and the moments that they name in a time zone.

Each time of the clock that an expression names is one start. A time that the night of the change to summer time leaves
out is moved forward by the hour that is missing; a time that occurs twice in the night of the change back starts once,
at its first occurrence.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.errors import ServiceError
from pipelines.number_text import count

_RANDOM = re.compile(r"(?:^|[\s,])[hr](?![a-z])", re.IGNORECASE)
"""What croniter reads as a random time, `R`, or a hash, `H`; no name of a month or day begins with these letters."""
_EXAMPLES = "expected minute hour day month weekday, such as '0 3 * * *' or '30 4 * * MON-FRI'"


def cron_fault(cron: str) -> str:
    """Return why `cron` is not five fields with a date that exists, as a sentence; empty if all is well."""
    # Prefect would take a sixth field as seconds without a message, and a date that never comes (30 February) would be
    # an active schedule without a run
    if (fields := len(cron.split())) != 5:
        return f"the cron expression {cron!r} has {count(fields, 'field')}; {_EXAMPLES}"
    if _RANDOM.search(cron):
        return f"the cron expression {cron!r} names no fixed time (R and H stand for random ones); {_EXAMPLES}"
    if not _croniter().is_valid(cron):
        return f"the cron expression {cron!r} is not valid; {_EXAMPLES}"
    try:
        next(clock_times(cron, datetime(2000, 1, 1)))
    except StopIteration:
        return f"the cron expression {cron!r} names a date that does not exist, so no run would ever start; {_EXAMPLES}"
    return ""


def zone_fault(name: str) -> str:
    """Return why `name` is no time zone, as a sentence; empty if it is one."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"unknown time zone {name!r}; expected a name such as Europe/Berlin or UTC"
    return ""


def clock_times(cron: str, after: datetime) -> Iterator[datetime]:
    """Yield the times of the clock (without a time zone) that an expression names after a time, in order."""
    times = _croniter()(cron, after)
    while True:
        try:
            yield times.get_next(datetime)
        except ValueError:
            # croniter's error if none comes within fifty years
            return


def instant(clock: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """Return the moment (UTC) at which a zone's clock shows this time."""
    # fold 0 is the first of two occurrences, and the offset before the change for a time that does not exist
    return clock.replace(tzinfo=zone, fold=0).astimezone(UTC)


@functools.cache
def _croniter() -> Any:
    """Return Prefect's private copy of croniter (checked with 3.8.8), which also reads the schedules in its UI."""
    # by path: importing it from its package would import all of Prefect, a second for each command
    package = importlib.util.find_spec("prefect")
    if package is None or not package.submodule_search_locations:
        raise ServiceError("Prefect is not installed, so cron expressions cannot be read; install this package again")
    path = Path(package.submodule_search_locations[0]) / "_vendor" / "croniter" / "croniter.py"
    spec = importlib.util.spec_from_file_location("elp_prefect_croniter", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ServiceError(f"this release of Prefect has no {path}; install the release that the pins name")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.croniter
