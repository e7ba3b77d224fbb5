"""A slot under attack: six versions in every state, and the check afterwards that nothing of it changed."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pipelines.registry.signing.keys import KeyRing, load_trusted_keys
from tests.support.guarded_server import GuardedServer
from tests.support.rest import Answer, Rest
from tests.support.versions_by_hand import API, ELP, Made, gate, promote, register

FORMER, CHAMPION, PASSED, FAILED, UNGATED, OUTDATED = 1, 2, 3, 4, 5, 6
"""Was champion; is champion; may become champion; failed the gate; was never gated; passed against the former."""


@dataclass
class Contest:
    """One slot on a guarded server, and who attacks it."""

    server: GuardedServer
    rest: Rest
    keys: KeyRing
    model: str
    made: dict[int, Made] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    """`state()` when the attack began."""
    mark: int = 0
    """Number of the newest entry of the ledger when the attack began."""

    @property
    def slot(self) -> str:
        """``SITE/TASK``."""
        return self.model.removeprefix("elp.").replace(".", "/")

    def alias(self, version: Any, alias: str = "champion", prefix: str = "api") -> Answer:
        """Ask MLflow itself to move an alias."""
        values = {"name": self.model, "alias": alias, "version": str(version)}
        return self.rest("POST", f"/{prefix}/2.0/mlflow/registered-models/alias", values)

    def ask(self, verb: str, **values: Any) -> Answer:
        """Ask our API for a change of this slot."""
        return self.rest("POST", f"{ELP}/{verb}", {"slot": self.slot, "reason": "an attack", **values})

    def champion(self) -> int | None:
        """The version behind the alias, as any MLflow client sees it."""
        answer = self.rest("GET", f"{API}/registered-models/alias?name={self.model}&alias=champion")
        return int(answer.json["model_version"]["version"]) if answer.status == 200 else None

    def ledger(self, after: int = 0, event: str = "") -> list[dict[str, Any]]:
        """Entries of this slot after number `after`, the oldest first."""
        query = f"slot={quote(self.slot, safe='')}&after={after}&limit=1000" + (f"&event={event}" if event else "")
        return [row["entry"] for row in self.rest.get(f"{ELP}/ledger?{query}")["entries"]]

    def state(self) -> dict[str, Any]:
        """All that an attack may be after: aliases, tags, descriptions, sources, stages, and the bytes in the store."""
        model = self.rest.get(f"{API}/registered-models/get?name={self.model}")["registered_model"]
        found = {
            "aliases": {entry["alias"]: int(entry["version"]) for entry in model.get("aliases", [])},
            "tags": _tags(model),
        }
        listed = self.rest.get(f"{API}/model-versions/search?filter=name%3D'{self.model}'&max_results=100")
        for shown in listed.get("model_versions", []):
            shown.pop("last_updated_timestamp", None)
            found[f"v{shown['version']}"] = {**shown, "tags": _tags(shown)}
        return found | self.stored_bytes()

    def stored_bytes(self) -> dict[str, str]:
        """A digest of every file behind the versions: models, code and evidence, by path."""
        made = self.made.values()
        return self.server.digests([folder for one in made for folder in (one.folder, posixpath.dirname(one.evidence))])

    def refused(self, answer: Answer, *words: str, recorded: bool = True) -> str:
        """Check that the guard refused in a sentence with these words and recorded it; return the sentence."""
        assert answer.status == 403, f"{answer.status} {answer.text[:500]}"
        assert answer.json.get("error_code") == "PERMISSION_DENIED"
        missing = [word for word in words if word not in answer.message]
        assert not missing, f"the sentence lacks {missing}: {answer.message}"
        if recorded:
            # of all slots: an attack on an experiment concerns none
            rows = self.rest.get(f"{ELP}/ledger?after={self.mark}&event=refused&limit=1000")["entries"]
            reasons = [row["entry"]["reason"] for row in rows]
            assert answer.message in reasons, f"not recorded: {answer.message}\nrecorded: {reasons}"
        return answer.message

    def begin(self) -> None:
        """Remember the state before the attack."""
        self.before = self.before or self.state()
        self.mark = int(self.rest.get(f"{ELP}/status")["ledger"]["seq"])

    def changed(self) -> dict[str, Any]:
        """Return what is not as it was at the beginning; empty if the attack did no harm."""
        now = self.state()
        return {
            name: (self.before.get(name), now.get(name))
            for name in sorted(self.before.keys() | now.keys())
            if self.before.get(name) != now.get(name)
        }


def prepare(server: GuardedServer, site: str, rest: Rest | None = None, last: int = OUTDATED) -> Contest:
    """Make a slot with a champion, its predecessor, and a version in every other state.

    Args:
        server: The server.
        site: Of the slot; its task is asr.
        rest: The user who prepares it, if the server requires a login.
        last: The last of the versions that are made, `PASSED` or a later one.
    """
    rest, keys = rest or Rest(server.uri), load_trusted_keys(server.keys)
    contest = Contest(server, rest, keys, f"elp.{site}.asr")
    for version in range(FORMER, last + 1):
        contest.made[version] = register(rest, contest.model, f"{site}-{version}", lineage=keys)
    made = contest.made
    gate(rest, made[FORMER], "passed", None, keys)
    promote(rest, made[FORMER])
    if OUTDATED in made:
        gate(rest, made[OUTDATED], "passed", made[FORMER], keys)
    gate(rest, made[CHAMPION], "passed", made[FORMER], keys)
    promote(rest, made[CHAMPION])
    if FAILED in made:
        gate(rest, made[FAILED], "failed", made[CHAMPION], keys)
    gate(rest, made[PASSED], "passed", made[CHAMPION], keys)
    contest.begin()
    return contest


def _tags(shown: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in shown.get("tags", [])}
