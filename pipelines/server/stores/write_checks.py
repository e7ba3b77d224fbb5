"""What the registry's ordinary writes may not do: each check passes or raises `Refusal` with its sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.registry.slot import Slot
from pipelines.registry.tags import CHALLENGER, CHAMPION
from pipelines.server.ledger.ledger_tables import STATEMENTS
from pipelines.server.overrides import requests as override_requests
from pipelines.server.refusal import Refusal
from pipelines.server.stores.artifact_bytes import served_path
from pipelines.server.stores.reserved_names import (
    DESCRIPTIVE,
    MODEL_TAGS,
    claims_slot,
    foreign,
    mlflow_tag,
    own_alias,
    own_tag,
)
from pipelines.server.transitions import version_facts as facts

_LARGEST = 2**31 - 1
"""Of a version: what the database's column holds."""
_DIGITS = 20
"""More are not even read: Python refuses thousands with an error of its own."""
_SOURCE = re.compile(r"models:/m-[0-9a-f]{32}")


def number(version: Any) -> int:
    """A version as a whole number, from whatever the caller sent.

    Raises:
        MlflowException: where it is none, as MLflow does.
    """
    text = str(version)
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text) <= _LARGEST):
        raise MlflowException(
            f"Parameter 'version' must be a whole number, got {text[:40]!r}", error_code=INVALID_PARAMETER_VALUE
        )
    return int(text)


def alias(model: str, name: str) -> None:
    """An alias that is not the champion: on a slot's model it may not be the server's, nor look like it."""
    slot = Slot.of_model(model)
    if slot is None:
        return
    if name == CHALLENGER:
        raise Refusal(
            f"the alias {CHALLENGER} of {slot} follows the gate's verdicts; gate one: elp gate {slot} --version N",
            what="set an alias",
            model=model,
        )
    if own_alias(name) or foreign(name):
        raise Refusal(
            f"the alias {name!r} of {slot} could be taken for {CHAMPION} or {CHALLENGER}; choose another, in ASCII",
            what="set an alias",
            model=model,
        )


def new_model(name: str, tags: Sequence[Any]) -> None:
    """A new registered model: slots' names are exact, and their tags say the slot."""
    slot = Slot.of_model(name)
    if slot is None and claims_slot(name):
        raise Refusal(
            f"{name!r} looks like a slot's model and is none; slots are named elp.<site>.<task> in lower case, other "
            "models otherwise",
            what="create a model",
            model=name,
        )
    told = {"elp.site": slot.site, "elp.task": slot.task} if slot else {}
    for tag_given in tags:
        _not_mlflows(slot, tag_given.key, name, None)
        if own_tag(tag_given.key) and told.get(tag_given.key) != tag_given.value:
            allowed = " and ".join(sorted(MODEL_TAGS)) if slot else "no tag of that kind"
            raise Refusal(
                f"the tag {tag_given.key!r} is written by the server; a new model {name} takes {allowed}",
                what="create a model",
                model=name,
            )


def rename(name: str, new_name: str) -> None:
    """Slots keep their names, and nobody takes one."""
    if claims_slot(name) or claims_slot(new_name):
        raise Refusal(
            f"{name} is not renamed to {new_name}: a slot's model keeps its name, since verdicts and the ledger are "
            "about that name; register in another slot instead: elp train SITE/TASK",
            what="rename a model",
            model=name,
        )


def tag(key: str, model: str, version: int | None) -> None:
    """Tags under ``elp.`` are the server's, or were given once; a slot's model takes none of MLflow's own."""
    slot = Slot.of_model(model)
    _not_mlflows(slot, key, model, version)
    if own_tag(key):
        what = f"gate or promote instead: elp gate {slot}" if slot else "name yours otherwise"
        raise Refusal(
            f"the tag {key!r} is not changed by hand: tags under elp. are written by the server from signed records; "
            f"{what}",
            what="change a tag",
            model=model,
            version=version,
        )


def _not_mlflows(slot: Slot | None, key: str, model: str, version: int | None) -> None:
    if slot is not None and mlflow_tag(key):
        raise Refusal(
            f"the tag {key!r} is MLflow's own and would hide {slot} from its lists or change what it is; name yours "
            "otherwise",
            what="change a tag",
            model=model,
            version=version,
        )


def new_version(model: str, source: str, tags: Sequence[Any]) -> None:
    """A new version claims nothing, and a slot's stands on a logged model of this server."""
    slot = Slot.of_model(model)
    if slot is None and claims_slot(model):
        raise Refusal(f"{model!r} is no slot's model", what="create a version", model=model)
    for given in tags:
        _not_mlflows(slot, given.key, model, None)
        if own_tag(given.key) and given.key not in DESCRIPTIVE:
            raise Refusal(
                f"the tag {given.key!r} cannot be given to a new version: it is written by the server from signed "
                "records, and a copy of a version has none; register and gate it in its own slot: elp train SITE/TASK",
                what="create a version",
                model=model,
            )
    if slot is not None and not _SOURCE.fullmatch(source):
        raise Refusal(
            f"a version of {slot} must be a logged model of this server (models:/m-…), got {source[:120]!r}; train "
            f"one: elp train {slot}",
            what="create a version",
            model=model,
        )


def location(slot: Slot, version: int, place: str) -> None:
    """The bytes of a slot's version lie in the artifact store that this server guards."""
    if served_path(place) is None:
        raise Refusal(
            f"{slot} v{version} lies at {place[:120] or 'no place'}, outside the artifact store of this server, so its "
            f"bytes could change unseen; log it in an experiment without a location of its own: elp train {slot}",
            what="create a version",
            model=slot.model_name,
        )


def description(session: Session, slot: Slot, version: int) -> None:
    """A description that the gate wrote stays, and so does what tells of an override."""
    request = override_requests.open_request(session, str(slot))
    if request is not None and request.in_force and request.version == version:
        raise Refusal(
            f"the description of {slot} v{version} tells of its override; end that first: elp withdraw {slot}",
            what="change a description",
            model=slot.model_name,
            version=version,
        )
    table = STATEMENTS.c
    gated = select(table.digest).where(
        table.model == slot.model_name, table.version == version, table.kind == "verdict"
    )
    if session.execute(gated.limit(1)).first() is not None:
        raise Refusal(
            f"the description of {slot} v{version} tells the gate's verdict and is written by the server; put notes "
            "into a tag of your own",
            what="change a description",
            model=slot.model_name,
            version=version,
        )


def stage(model: str, version: int) -> None:
    """Slots have no stages."""
    slot = Slot.of_model(model)
    if slot is not None:
        raise Refusal(
            f"{slot} has no stages: what serves is the alias {CHAMPION}; promote: elp promote {slot} --version "
            f"{version}",
            what="change a stage",
            model=model,
            version=version,
        )


def no_champion(session: Session, slot: Slot, version: int | None) -> None:
    """What serves is not deleted.

    Args:
        session: Of the locked transaction.
        slot: The slot.
        version: The version to delete; None for the whole model.
    """
    present = facts.alias(session, slot.model_name, CHAMPION)
    if present is not None and version in (None, present):
        what = f"{slot} v{present}" if version else slot.model_name
        raise Refusal(
            f"{what} is not deleted: v{present} is the champion; retire it first: elp retire {slot} --reason REASON",
            what="delete a version" if version else "delete a model",
            model=slot.model_name,
            version=version,
        )
    request = override_requests.open_request(session, str(slot))
    if request is not None and request.before is not None and version == request.before:
        raise Refusal(
            f"{slot} v{version} is not deleted: it comes back when the override of v{request.version} ends; end that "
            f"first: elp withdraw {slot}",
            what="delete a version",
            model=slot.model_name,
            version=version,
        )
