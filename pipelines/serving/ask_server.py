"""`elp predict` by an `elp serve` that runs here, if it would give the same answer as a loaded adapter.

It is asked only if it serves the same registry (or the same box) with the same settings, and has exactly the version
that is asked for, with the digest that the registry (or the set of the box) has. In every other case, and after any
error, the caller loads the adapter itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

from elp_core.channels import Channel
from elp_core.class_answer import ClassAnswer, ClassCalibration
from elp_core.errors import ElpError
from elp_core.transcript import Segment, Transcript, Word
from elp_core.types import Seconds
from pipelines.local.accounts import service_login
from pipelines.local.http_client import request
from pipelines.local.workspace import Workspace
from pipelines.registry.adapter_version import CHAMPION, Tags
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import ChampionSource, RegistryChampions
from pipelines.serving.form_post import form_connection, post_form
from pipelines.serving.predict_files import Answer
from pipelines.serving.server_record import ServerRecord, read_servers, settings_digest

_REGISTRY_SECONDS: Seconds = 3.0
_ANSWER_SECONDS: Seconds = 3600.0
_TASKS = ("asr", "asv", "ser", "sic")


class _OtherAnswer(Exception):
    """The server does not answer as a loaded adapter would."""


@dataclass(frozen=True)
class _Wanted:
    version: int
    digest: str


def ask_server(
    workspace: Workspace,
    slot: Slot,
    files: Sequence[Path],
    *,
    source: ChampionSource,
    version: int | str = CHAMPION,
    skip_silence: bool = True,
    channel: Channel = "same",
) -> Answer | None:
    """Return the answer of a server of the workspace or the box, or None if the adapter has to be loaded here."""
    alike = (source.name, settings_digest(workspace.root))
    servers = [
        one
        for one in read_servers(workspace.state)
        if (one.source, one.settings) == alike and (not one.sites or slot.site in one.sites)
    ]
    if not servers or slot.task not in _TASKS or len(files) < (2 if slot.task == "asv" else 1):
        return None
    try:
        if isinstance(source, RegistryChampions):
            wanted = _wanted(source.name, slot, version, service_login(workspace))
        else:
            fetched = source.fetch(slot, version)
            wanted = _Wanted(fetched.version, fetched.digest)
    except (ElpError, OSError, ValueError, KeyError, TypeError):
        return None
    fields = {"channel": str(channel)}
    answers = (_answer_of(server, slot, wanted, fields, files, skip_silence) for server in servers)
    return next((answer for answer in answers if answer is not None), None)


def _answer_of(
    server: ServerRecord,
    slot: Slot,
    wanted: _Wanted,
    fields: Mapping[str, str],
    files: Sequence[Path],
    skip_silence: bool,
) -> Answer | None:
    """Return the answer of one server; None if it does not give that of the wanted version."""
    try:
        with closing(form_connection(server.address, server.certificate, _ANSWER_SECONDS)) as connection:
            return _Asking(connection, server.key, slot, wanted, fields).answer(files, skip_silence)
    except (_OtherAnswer, ElpError, OSError, HTTPException, ValueError, KeyError, TypeError):
        return None


def _wanted(mlflow_uri: str, slot: Slot, version: int | str, login: tuple[str, str] | None) -> _Wanted:
    """Return the version and the digest in the registry, by one request."""
    # MLflow's client takes over a second to load
    name = quote(slot.model_name)
    by_alias, by_number = f"registered-models/alias?name={name}&alias={version}", f"model-versions/get?name={name}"
    path = by_alias if version == CHAMPION else f"{by_number}&version={version}"
    found = request(f"{mlflow_uri}/api/2.0/mlflow/{path}", timeout=_REGISTRY_SECONDS, login=login)["model_version"]
    tags = {tag["key"]: tag["value"] for tag in found["tags"]}
    return _Wanted(int(found["version"]), tags[Tags.BUNDLE])


@dataclass(frozen=True)
class _Asking:
    connection: HTTPConnection
    key: str
    slot: Slot
    wanted: _Wanted
    fields: Mapping[str, str]

    def answer(self, files: Sequence[Path], skip_silence: bool) -> Answer:
        found = Answer(self.slot, self.wanted.version, tuple(map(str, files)))
        if self.slot.task == "asv":
            sent = [*(("enrolment", path) for path in files[:-1]), ("file", files[-1])]
            values = self._post("verify", sent, {})
            return replace(found, score=values["score"], threshold=values["threshold"], accepted=values["accepted"])
        if self.slot.task == "asr":
            how = {"response_format": "elp_json", "vad": str(skip_silence).lower()}
            heard = [self._post("audio/transcriptions", [("file", path)], how)["transcript"] for path in files]
            transcripts = tuple(map(_transcript, heard))
            return replace(found, answers=tuple(one.text for one in transcripts), transcripts=transcripts)
        classes = tuple(_class(self._post("classify", [("file", path)], {})) for path in files)
        return replace(found, answers=tuple(one.label or "" for one in classes), classes=classes)

    def _post(self, route: str, sent: Sequence[tuple[str, Path]], more: Mapping[str, str]) -> dict[str, Any]:
        fields = {"model": str(self.slot), **self.fields, **more}
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = post_form(self.connection, f"/v1/{route}", fields, sent, headers)
        by = answer.headers.get("elp-version"), answer.headers.get("elp-bundle-digest")
        if answer.status != 200 or by != (str(self.wanted.version), self.wanted.digest):
            raise _OtherAnswer
        values: dict[str, Any] = json.loads(answer.content)
        return values


def _class(values: Mapping[str, Any]) -> ClassAnswer:
    fitted = values["calibration"]
    return ClassAnswer(
        label=values["label"],
        likeliest=values["likeliest"],
        probability=values["probability"],
        probabilities={one["label"]: one["probability"] for one in values["classes"]},
        calibration=fitted and ClassCalibration(fitted["temperature"], fitted["floor"], fitted["clips"]),
    )


def _transcript(values: Mapping[str, Any]) -> Transcript:
    segments = tuple(
        Segment(one["start"], one["end"], one["text"], tuple(Word(**word) for word in one["words"]))
        for one in values["segments"]
    )
    return Transcript(values["text"], values["seconds"], segments, values["spaced"])
