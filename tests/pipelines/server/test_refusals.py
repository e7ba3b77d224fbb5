"""The answers to MLflow's own client when the guard refuses, and the entries that the ledger gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client import server_api as guard
from pipelines.registry.client.connection import connect
from pipelines.registry.ledger.chain import verify_chain
from pipelines.registry.ledger.entry import LedgerRow
from pipelines.registry.ledger.ledger_checkpoint import read_ledger_checkpoint
from pipelines.registry.signing.canonical_json import canonical_json
from pipelines.registry.signing.keys import key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from tests.support.bundles import add_bundle
from tests.support.versions import make_champion, record_verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration

SLOT = Slot("refusing", "asr")
MODEL = SLOT.model_name
CHAMPION, CHALLENGER, FAILED, UNGATED = 1, 2, 3, 4


# of the session, as the server is: made twice, a slot's versions would have other numbers
@pytest.fixture(scope="session")
def client(mlflow_uri: str) -> MlflowClient:
    return connect(mlflow_uri)


@pytest.fixture(scope="session")
def versions(client: MlflowClient, tmp_path_factory: pytest.TempPathFactory) -> dict[int, AdapterVersion]:
    """A champion, a challenger, one that failed, one that was never gated."""
    scratch = tmp_path_factory.mktemp("bundles")
    made = {n: add_bundle(client, SLOT, f"k{n}", scratch) for n in (CHAMPION, CHALLENGER, FAILED, UNGATED)}
    made[CHAMPION] = make_champion(client, made[CHAMPION])
    record_verdict(client, made[CHALLENGER], against=made[CHAMPION])
    record_verdict(client, made[FAILED], "failed", against=made[CHAMPION])
    return made


Call = Callable[["MlflowClient"], Any]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda c: c.set_registered_model_alias(MODEL, "champion", "4"),
            "was never gated; gate it: elp gate refusing/asr",
        ),
        (lambda c: c.set_registered_model_alias(MODEL, "champion", "3"), "the gate's verdict is failed: "),
        (lambda c: c.set_registered_model_alias(MODEL, "challenger", "4"), "follows the gate's verdicts"),
        (lambda c: c.set_registered_model_alias(MODEL, "Champion", "4"), "could be taken for champion"),
        (lambda c: c.delete_registered_model_alias(MODEL, "champion"), "elp retire refusing/asr --reason REASON"),
        (lambda c: c.delete_registered_model_alias(MODEL, "challenger"), "it follows the gate's verdicts"),
        (lambda c: c.delete_model_version(MODEL, "1"), "v1 is the champion; retire it first: elp retire refusing/asr"),
        (lambda c: c.delete_registered_model(MODEL), "v1 is the champion; retire it first: elp retire refusing/asr"),
        (lambda c: c.rename_registered_model(MODEL, "mine"), "a slot's model keeps its name"),
        (lambda c: c.create_registered_model("ELP.refusing.asr"), "looks like a slot's model and is none"),
        (
            lambda c: c.set_model_version_tag(MODEL, "4", "elp.verdict", "passed"),
            "'elp.verdict' is not changed by hand",
        ),
        (lambda c: c.delete_model_version_tag(MODEL, "3", "elp.verdict"), "'elp.verdict' is not changed by hand"),
        (lambda c: c.set_registered_model_tag(MODEL, "elp.site", "other"), "'elp.site' is not changed by hand"),
        (lambda c: c.set_model_version_tag(MODEL, "4", "mlflow.prompt.is_prompt", "true"), "is MLflow's own"),
        (lambda c: c.update_model_version(MODEL, "3", "It is fine."), "reports the gate's verdict and is written by"),
        (lambda c: c.copy_model_version(f"models:/{MODEL}/3", "elp.elsewhere.asr"), "elp train elsewhere/asr"),
        (
            lambda c: c.create_model_version(MODEL, f"models:/{MODEL}/3"),
            "let it serve there: elp promote refusing/asr --version 3, or in the console: /elp/slots/refusing/asr",
        ),
        (
            lambda c: c.create_model_version("mine", f"models:/{MODEL}@champion"),
            "elp promote refusing/asr --version 1, or in",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_says_why_and_is_recorded(
    client: MlflowClient, versions: dict[int, AdapterVersion], call: Call, sentence: str
) -> None:
    from mlflow.exceptions import MlflowException

    before = guard.ledger_entries(client.tracking_uri)[-1].seq
    with pytest.raises(MlflowException, match="PERMISSION_DENIED") as error:
        call(client)
    assert sentence in str(error.value)
    (entry,) = guard.ledger_entries(client.tracking_uri, after=before)
    assert (entry.event, entry.principal.login) == ("refused", False)
    assert sentence in entry.reason
    assert registry.find_champion(client, SLOT) == versions[CHAMPION]


@pytest.mark.parametrize("version", [CHAMPION, CHALLENGER, FAILED, UNGATED])
def test_what_a_version_is_based_on_is_not_deleted(
    client: MlflowClient, versions: dict[int, AdapterVersion], version: int
) -> None:
    from mlflow.exceptions import RestException

    made = versions[version]
    experiment = client.get_run(made.run_id).info.experiment_id
    for delete in (
        lambda: client.delete_run(made.run_id),
        lambda: client.delete_logged_model(made.source.removeprefix("models:/")),
        lambda: client.delete_experiment(experiment),
        lambda: client.rename_experiment(experiment, "MLflow Demo"),
    ):
        with pytest.raises(RestException, match=r"stays: refusing/asr v\d is based on it"):
            delete()


def test_the_bytes_behind_a_version_stay(
    client: MlflowClient, versions: dict[int, AdapterVersion], tmp_path: Path
) -> None:
    from requests.exceptions import HTTPError

    (tmp_path / "README.md").write_text("another card")
    model = versions[CHAMPION].source.removeprefix("models:/")
    with pytest.raises(HTTPError, match="holds the adapter of refusing/asr v1, which is signed"):
        client.log_model_artifact(model, str(tmp_path / "README.md"), "artifacts/bundle")
    evidence = versions[CHAMPION].gate_record
    assert evidence is not None
    with pytest.raises(HTTPError, match="holds the evidence of refusing/asr v1"):
        client.log_artifact(versions[CHAMPION].run_id, str(tmp_path / "README.md"), evidence.evidence)


def test_users_tags_aliases_and_notes_are_free(client: MlflowClient, versions: dict[int, AdapterVersion]) -> None:
    client.set_model_version_tag(MODEL, "4", "note", "heard in hall 3")
    client.set_registered_model_alias(MODEL, "candidate-for-hall-3", "4")
    client.update_model_version(MODEL, "4", "Heard in hall 3.")
    found = registry.get(client, SLOT, UNGATED)
    assert (found.tags["note"], found.aliases) == ("heard in hall 3", ("candidate-for-hall-3",))
    client.delete_registered_model_alias(MODEL, "candidate-for-hall-3")
    client.delete_model_version_tag(MODEL, "4", "note")


def test_a_version_is_deleted_and_that_is_recorded(client: MlflowClient, tmp_path: Path) -> None:
    slot = Slot("deleting", "asr")
    add_bundle(client, slot, "k1", tmp_path)
    registry.delete_version(client, registry.get(client, slot, 1))
    assert registry.find(client, slot, 1) is None
    client.delete_registered_model(slot.model_name)
    assert [entry.event for entry in guard.ledger_entries(client.tracking_uri, slot)] == [
        "registered",
        "deleted",
        "deleted",
    ]


def test_the_chain_is_whole_and_reaches_the_anchor(client: MlflowClient, versions: dict[int, AdapterVersion]) -> None:
    """Whatever the tests on this server did before, each entry follows from the one before it."""
    answer = guard.call_server(client.tracking_uri, "GET", "/ledger", params={"limit": 1000})
    rows = [
        LedgerRow(row["entry"]["seq"], canonical_json(row["entry"]).decode(), row["hash"], row["envelope"])
        for row in answer["entries"]
    ]
    found = verify_chain(
        rows, load_trusted_keys(key_folder()), read_ledger_checkpoint(key_folder().parent / "ledger-head.json")
    )
    assert (found.faults, found.entries) == ((), answer["head"]["seq"])
