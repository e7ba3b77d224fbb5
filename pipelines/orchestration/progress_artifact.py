"""The progress of a flow run's long steps, published as progress artifacts of Prefect: its UI and the CLI show them."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from elp_core.types import Seconds
from pipelines.progress_text import Pace, Report, share

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_EVERY: Seconds = 1.5
"""Time between two messages to Prefect."""
_LAST: Seconds = 5.0
"""How long the end of a step waits for its last message: Prefect's client tries for minutes if the server is down."""
PROGRESS = "progress"
"""Type of Prefect's progress artifacts."""


@dataclass
class _Publisher:
    """What is to be sent next; a thread sends it, because the work must not wait for Prefect."""

    run_id: UUID
    what: str
    pace: Pace
    ended: threading.Event = field(default_factory=threading.Event)
    latest: tuple[int, int, str] | None = None

    def report(self, done: int, total: int, note: str = "") -> None:
        self.latest = done, total, note

    def send_until_ended(self) -> None:
        import httpx
        from prefect import get_client
        from prefect.exceptions import PrefectException

        # the step goes on without a display: what it does matters more
        with contextlib.suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
            artifact, sent = None, None
            while not self.ended.wait(_EVERY):
                if self.latest not in (None, sent):
                    sent, artifact = self.latest, self._send(client, artifact)
            if artifact and self.latest != sent:
                self._send(client, artifact)

    def _send(self, client: SyncPrefectClient, artifact: UUID | None) -> UUID:
        from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

        assert self.latest is not None
        done, total, note = self.latest
        text, percent = f"{self.what}: {self.pace.line(done, total, note)}", share(done, total)
        if artifact is None:
            made = ArtifactCreate(type=PROGRESS, data=percent, description=text, flow_run_id=self.run_id)
            return client.create_artifact(made).id
        client.update_artifact(artifact, ArtifactUpdate(data=percent, description=text))
        return artifact


@contextlib.contextmanager
def published_progress(what: str, unit: str) -> Iterator[Report | None]:
    """Publish what is reported to the returned function while the block runs; None outside a flow run.

    `what` is the name of the step, `unit` what it counts. Work that ends within `_EVERY` seconds publishes nothing.
    """
    from prefect.runtime import flow_run

    run_id = flow_run.get_id()
    if not run_id:
        yield None
        return
    publisher = _Publisher(UUID(str(run_id)), what, Pace(unit))
    # a copy of the context, which names the server
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(publisher.send_until_ended,), name="progress", daemon=True)
    thread.start()
    try:
        yield publisher.report
        if publisher.latest:
            # the number of steps is an estimate until the last one is made
            done, _, note = publisher.latest
            publisher.report(done, done, note)
    finally:
        publisher.ended.set()
        thread.join(_LAST)


def read_progress(client: SyncPrefectClient, run_id: str) -> tuple[float, str] | None:
    """Return how far the present step of a run is, in percent, and its line; None if no step has published that."""
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterType
    from prefect.client.schemas.sorting import ArtifactSort

    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run_id)]), type=ArtifactFilterType(any_=[PROGRESS])
    )
    found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
    return (float(str(found[0].data)), found[0].description or "") if found else None
