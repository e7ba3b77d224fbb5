"""A slot with a history on a guarded server: v1 was champion, v2 is, v3 passed and waits, v4 failed."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.registry.signing.keys import load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.registry.slot_description import slot_description
from tests.support.guarded_server import GuardedServer
from tests.support.judged_by_hand import judge
from tests.support.rest import Rest
from tests.support.versions_by_hand import API, Made, promote, register

ERRORS = {1: [2, 1, 2, 1, 1] * 16, 2: [1, 0, 1, 1, 0] * 16, 3: [0, 0, 1, 0, 0] * 16, 4: [2] * 80}
"""Errors of each version on the golden set's 80 clips: the fourth is worse than the champion."""


@dataclass(frozen=True)
class Shop:
    """The slot, and who asks for it."""

    server: GuardedServer
    rest: Rest
    made: dict[int, Made]

    @property
    def model(self) -> str:
        return self.made[1].model

    @property
    def page(self) -> str:
        """Address of the slot's page."""
        return f"{self.server.uri}/elp/slots/{self.made[1].slot}"

    def champion(self) -> int | None:
        """As any MLflow client sees it."""
        model = self.rest.get(f"{API}/registered-models/get?name={self.model}")["registered_model"]
        named = {entry["alias"]: int(entry["version"]) for entry in model.get("aliases", [])}
        return named.get("champion")


def open_shop(server: GuardedServer, site: str, rest: Rest | None = None) -> Shop:
    """Make the slot SITE/asr with its history, as the user of `rest` where the server asks for a login."""
    rest, keys = rest or Rest(server.uri), load_trusted_keys(server.keys)
    slot, made = Slot(site, "asr"), {}
    model = slot.model_name
    rest.post(f"{API}/registered-models/create", {"name": model, "description": slot_description(slot)})
    for version, errors in ERRORS.items():
        made[version] = register(rest, model, f"{site} {version}", lineage=keys)
        champion = {1: None, 2: 1}.get(version, 2)
        judge(rest, made[version], errors, (made[champion], ERRORS[champion]) if champion else None, keys)
        if version < 3:
            promote(rest, made[version], f"v{version} is better")
    return Shop(server, rest, made)
