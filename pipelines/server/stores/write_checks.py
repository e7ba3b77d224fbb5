"""Checks of the registry's ordinary writes: each one returns, or raises `Refusal` with its sentence.

Reserved for the server are the names of slot models, two aliases, and the tags that claim a decision.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_ALREADY_EXISTS
from sqlalchemy.orm import Session

from pipelines.registry.adapter_version import CHALLENGER, CHAMPION, Tags
from pipelines.registry.slot import Slot
from pipelines.server.holds import hold_on_adapter
from pipelines.server.refusal import Attempt
from pipelines.server.storage.artifact_bytes import served_path
from pipelines.server.storage.override_requests import open_request
from pipelines.server.storage.version_rows import alias_version, leaving_the_trash, newest_statements, version_of_key

DESCRIPTIVE = frozenset(
    {
        *(Tags.METRIC, Tags.VALUE, Tags.KEY, Tags.BUNDLE, Tags.BACKBONE, Tags.FINGERPRINT, Tags.DATASET),
        *(Tags.DVC_HASH, Tags.REVISION, Tags.CODE, Tags.DIRTY, Tags.SEED, Tags.FLOW_RUN, Tags.PARENTS),
    }
)
"""Tags under ``elp.`` that a client may give a version when it creates it, and cannot change afterwards."""

MODEL_TAGS = frozenset({"elp.site", "elp.task"})
"""The same for a registered model."""

_LOOKALIKES = {"e": "3", "l": "1i|", "o": "0", "i": "1l|", ".": "·。"}
"""ASCII and punctuation that looks like another character; letters after folding."""
_INVISIBLE = ("Cf", "Cc", "Mn", "Me", "Zs", "Zl", "Zp")
"""Unicode categories of accents, spaces and characters without a glyph."""

_LARGEST = 2**31 - 1
"""The largest version that the database's column holds."""
_DIGITS = 20
"""Longer texts are not parsed: Python raises another error for numbers of thousands of digits."""
_SOURCE = re.compile(r"models:/m-[0-9a-f]{32}")
_COPY = re.compile(r"models:/(?P<model>[^/@]+)(?:/|@)(?P<version>.+)")
"""A version as the origin of another one, as in MLflow's dialog "Promote model"."""


def parse_number(value: Any) -> int:
    """Return a version, or another whole number, from whatever the caller sent, or raise MLflow's own error."""
    text = str(value)
    # isdigit alone accepts superscripts, which int refuses, and digits of other scripts
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text) <= _LARGEST):
        raise MlflowException(
            f"Parameter 'version' must be a whole number, got {text[:40]!r}", error_code=INVALID_PARAMETER_VALUE
        )
    return int(text)


def check_alias(model: str, alias: str) -> None:
    """Refuse an alias on a slot's model that is the server's or looks like it."""
    slot, attempt = Slot.of_model(model), Attempt("set an alias", model)
    if slot is None:
        return
    if alias == CHALLENGER:
        raise attempt.refused(
            f"the alias {CHALLENGER} of {slot} follows the gate's verdicts; gate one: elp gate {slot} --version N"
        )
    if own_alias(alias) or not alias.isascii():
        raise attempt.refused(
            f"the alias {alias!r} of {slot} could be taken for {CHAMPION} or {CHALLENGER}; choose another, in ASCII"
        )


def check_alias_deletion(model: str, alias: str) -> None:
    """Refuse to delete an alias of a slot's model that is the server's."""
    slot = Slot.of_model(model)
    if slot is not None and own_alias(alias):
        retire = f"a slot loses its champion by: elp retire {slot} --reason REASON"
        why = retire if alias == CHAMPION else "it follows the gate's verdicts"
        raise Attempt("delete an alias", model).refused(f"the alias {alias} of {slot} is not deleted: {why}")


def check_new_model(name: str, tags: Sequence[Any]) -> None:
    """Refuse a model whose name only looks like a slot's, or whose tags say another slot or claim a decision."""
    slot, attempt = Slot.of_model(name), Attempt("create a model", name)
    if slot is None and claims_slot(name):
        raise attempt.refused(
            f"{name!r} looks like a slot's model and is none; slots are named elp.<site>.<task> in lower case, other "
            "models have another prefix"
        )
    allowed = {"elp.site": slot.site, "elp.task": slot.task} if slot else {}
    for tag in tags:
        _refuse_mlflow_tag(slot, tag.key, Attempt("change a tag", name))
        if claims_slot(tag.key) and allowed.get(tag.key) != tag.value:
            accepted = " and ".join(sorted(MODEL_TAGS)) if slot else "no tag of that kind"
            raise attempt.refused(
                f"the tag {tag.key!r} is written by the server; a new model {name} accepts {accepted}"
            )


def check_rename(name: str, new_name: str) -> None:
    """Refuse to rename a slot's model, and to give another model a slot's name."""
    if claims_slot(name) or claims_slot(new_name):
        raise Attempt("rename a model", name).refused(
            f"{name} is not renamed to {new_name}: a slot's model keeps its name, since verdicts and the ledger are "
            "about that name; register in another slot instead: elp train SITE/TASK"
        )


def check_tag(key: str, model: str, version: int | None) -> None:
    """Refuse a change of a tag under ``elp.``, and of MLflow's own tags on a slot's model."""
    slot, attempt = Slot.of_model(model), Attempt("change a tag", model, version)
    _refuse_mlflow_tag(slot, key, attempt)
    if claims_slot(key):
        instead = f"gate or promote instead: elp gate {slot}" if slot else "give yours another name"
        raise attempt.refused(
            f"the tag {key!r} is not changed by hand: tags under elp. are written by the server from signed records; "
            f"{instead}"
        )


def _refuse_mlflow_tag(slot: Slot | None, key: str, attempt: Attempt) -> None:
    # such a tag can hide a model or turn it into a prompt
    if slot is not None and _folded(key).startswith("mlflow."):
        raise attempt.refused(
            f"the tag {key!r} is MLflow's own and would hide {slot} from its lists or change what it is; give yours "
            "another name"
        )


def check_new_version(model: str, source: str, tags: Sequence[Any]) -> None:
    """Refuse a copy, a version with a tag that claims a decision, and a slot's version that is no logged model."""
    slot, attempt = Slot.of_model(model), Attempt("create a version", model)
    _refuse_copy(model, source, attempt)
    if slot is None and claims_slot(model):
        raise attempt.refused(f"{model!r} is no slot's model")
    for tag in tags:
        _refuse_mlflow_tag(slot, tag.key, Attempt("change a tag", model))
        if claims_slot(tag.key) and tag.key not in DESCRIPTIVE:
            raise attempt.refused(
                f"the tag {tag.key!r} cannot be given to a new version: it is written by the server from signed "
                "records; register and gate it in its own slot: elp train SITE/TASK"
            )
    if slot is not None and not _SOURCE.fullmatch(source):
        raise attempt.refused(
            f"a version of {slot} must be a logged model of this server (models:/m-…), got {source[:120]!r}; train "
            f"one: elp train {slot}"
        )


def check_new_key(session: Session, slot: Slot, tags: Sequence[Any]) -> None:
    """Raise MLflow's error for what exists already if the slot has a version of this training; no attack is recorded.

    Two machines may train the same at once: the second one takes the version of the first.
    """
    for key in (tag.value for tag in tags if tag.key == Tags.KEY):
        if key and (number := version_of_key(session, slot.model_name, key)) is not None:
            raise MlflowException(
                f"{slot} v{number} was trained from exactly these inputs (training key {key[:12]}); use that version",
                error_code=RESOURCE_ALREADY_EXISTS,
            )


def _refuse_copy(model: str, source: str, attempt: Attempt) -> None:
    """Refuse to copy a slot's version, which would serve elsewhere without verdict and ledger."""
    copied = _COPY.fullmatch(source)
    origin = Slot.of_model(copied["model"]) if copied else None
    if copied is None or origin is None:
        return
    number = copied["version"] if copied["version"].isdigit() else ""
    one, chosen = (f"{origin} v{number}", f" --version {number}") if number else (f"a version of {origin}", "")
    slot = Slot.of_model(model)
    other = f"; {slot} needs a separate adapter: elp train {slot}" if slot and slot != origin else ""
    raise attempt.refused(
        f"{one} is not copied to {model}: its verdict and its ledger count in its own slot only; let it serve there: "
        f"elp promote {origin}{chosen}, or in the console: /elp/slots/{origin}{other}"
    )


def check_not_leaving(session: Session, slot: Slot, source: str) -> None:
    """Refuse a version on a logged model whose bytes leave the trash for good at this moment."""
    if leaving_the_trash(session, source.removeprefix("models:/")):
        raise Attempt("create a version", slot.model_name).refused(
            f"{source} was deleted by policy, and its bytes are going; train it again: elp train {slot}"
        )


def check_location(slot: Slot, version: int, location: str) -> None:
    """Refuse a version whose bytes are outside the artifact store that this server guards."""
    if served_path(location) is None:
        raise Attempt("create a version", slot.model_name, version).refused(
            f"{slot} v{version} is stored at {location[:120] or 'no place'}, outside the artifact store of this "
            "server, so its bytes could change unseen; log it in an experiment without a location of its own: "
            f"elp train {slot}"
        )


def check_description(session: Session, slot: Slot, version: int) -> None:
    """Refuse to change a description that the server wrote from a verdict or an override."""
    attempt = Attempt("change a description", slot.model_name, version)
    request = open_request(session, str(slot))
    if request is not None and request.in_force and request.version == version:
        raise attempt.refused(
            f"the description of {slot} v{version} reports its override; end that first: elp withdraw {slot}"
        )
    if session.execute(newest_statements("verdict", slot.model_name, version).limit(1)).first() is not None:
        raise attempt.refused(
            f"the description of {slot} v{version} reports the gate's verdict and is written by the server; put notes "
            "into a tag of your own"
        )


def check_stage(model: str, version: int) -> None:
    """Refuse a stage on a slot's version."""
    slot = Slot.of_model(model)
    if slot is not None:
        raise Attempt("change a stage", model, version).refused(
            f"{slot} has no stages: the alias {CHAMPION} says what serves; promote: elp promote {slot} --version "
            f"{version}"
        )


def check_deletion(session: Session, slot: Slot, version: int | None) -> None:
    """Refuse to delete the champion, what is held, the version that returns after an override, or (None) a model."""
    attempt = Attempt("delete a version" if version else "delete a model", slot.model_name, version)
    present = alias_version(session, slot.model_name, CHAMPION)
    # None deletes the whole model, with its champion
    if present is not None and version in (None, present):
        name = f"{slot} v{present}" if version else slot.model_name
        retire = f"elp retire {slot} --reason REASON"
        raise attempt.refused(f"{name} is not deleted: v{present} is the champion; retire it first: {retire}")
    if (hold := hold_on_adapter(session, str(slot), version)) is not None:
        name = f"{slot} v{version}" if version else slot.model_name
        raise attempt.refused(
            f"{name} is not deleted: {hold.summary}; end it first: elp hold end {hold.number} --reason TEXT"
        )
    request = open_request(session, str(slot))
    if request is not None and request.before is not None and version == request.before:
        raise attempt.refused(
            f"{slot} v{version} is not deleted: it comes back when the override of v{request.version} ends; end that "
            f"first: elp withdraw {slot}"
        )


def _folded(name: str) -> str:
    """Return `name` without differences of compatibility form, case, accents, spaces and invisible characters.

    Letters of other scripts that look alike (a Cyrillic с) are kept; `_reads_like` handles them.
    """
    # NFKC first: some characters have a case only after it; NFKD then splits accents from their letters
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(letter for letter in plain if unicodedata.category(letter) not in _INVISIBLE)


def _reads_like(name: str, word: str) -> bool:
    """Return whether a reader could take a name for `word`; a letter of another script may look like any letter."""
    return len(name) == len(word) and all(
        letter == meant or letter in _LOOKALIKES.get(meant, "") or (meant.isalpha() and not letter.isascii())
        for letter, meant in zip(name, word, strict=True)
    )


def claims_slot(name: str) -> bool:
    """Return whether a model's name or a tag's key is in the server's name space, exactly or for a reader."""
    return _reads_like(_folded(name)[:4], "elp.")


def own_alias(alias: str) -> bool:
    """Return whether an alias is one of the server's two, exactly or for a reader."""
    return any(_reads_like(_folded(alias), own) for own in (CHAMPION, CHALLENGER))
