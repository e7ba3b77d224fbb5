"""Which backbones a champion may be on."""

from __future__ import annotations

import pytest

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from pipelines.registry.backbone_licence import BackbonePolicy, BackboneRecord, licence_fault, licence_warning
from pipelines.registry.known_backbones import commercial_use, published_origin, spdx_spelling
from pipelines.registry.lineage import BackboneName, BackboneOrigin, Lineage

PRINT = "sha256:" + "f" * 64
OURS = BackboneName("models/ours", PRINT)
NONE = BackboneOrigin()
MIT = BackboneOrigin("MIT", "allowed", "hub x/y", "LibriSpeech (960 h)")
NC = BackboneOrigin("CC-BY-NC-4.0", "forbidden", "hub x/y", "speech (1 h)")
ODD = BackboneOrigin("LicenseRef-Acme", "unknown", "acme", "calls (1 h)")
RECORDED_NC = BackboneRecord("models/ours", "CC-BY-NC-4.0", "forbidden", "hub x/y", "speech (1 h)")
OLD = BackboneRecord("models/ours", "CC-BY-NC-3.0-igo", "allowed", "hub x/y", "speech (1 h)")
"""What an older release took: its list of forbidden licences and of spellings was shorter."""
STRICT = BackbonePolicy(unknown="refuse")
ONLY_MIT = BackbonePolicy(allow=("mit",))


@pytest.mark.parametrize(
    ("name", "signed", "policy", "words"),
    [
        (OURS, NONE, BackbonePolicy(), ""),
        (OURS, MIT, BackbonePolicy(), ""),
        (OURS, NC, BackbonePolicy(), "models/ours is under CC-BY-NC-4.0, which forbids commercial use"),
        # a lineage that claims another use than its licence has
        (OURS, BackboneOrigin("cc-by-nc-sa-4.0", "allowed"), BackbonePolicy(), "forbids commercial use"),
        (OURS, BackboneOrigin("LicenseRef-Acme", "forbidden"), BackbonePolicy(), "forbids commercial use"),
        # recorded after the training
        (OURS, NONE, BackbonePolicy(records={PRINT: RECORDED_NC}), "is under CC-BY-NC-4.0"),
        (OURS, MIT, BackbonePolicy(records={PRINT: RECORDED_NC}), "is under CC-BY-NC-4.0"),
        # nobody recorded it, but its page is known
        (BackboneName("facebook/mms-1b", PRINT), NONE, BackbonePolicy(), "was published under CC-BY-NC-4.0"),
        (BackboneName("utter-project/mHuBERT-147"), NONE, BackbonePolicy(), "was published under CC-BY-NC-SA-4.0"),
        (BackboneName("facebook/mms-1b", PRINT), BackboneOrigin("LicenseRef-Bought", "allowed"), ONLY_MIT, "not on"),
        (BackboneName("facebook/mms-1b", PRINT), BackboneOrigin("LicenseRef-Bought", "allowed"), STRICT, ""),
        (OURS, NONE, STRICT, "has no recorded licence, and the policy refuses unknown ones"),
        (OURS, ODD, BackbonePolicy(), ""),
        (OURS, ODD, STRICT, "whose commercial use is unknown"),
        (OURS, ODD, BackbonePolicy(("LicenseRef-Acme",), "refuse"), ""),
        (OURS, NONE, BackbonePolicy(records={PRINT: OLD}), "is under CC-BY-NC-3.0-igo, which forbids commercial use"),
        (OURS, NONE, BackbonePolicy((OLD.licence,), records={PRINT: OLD}), "which forbids commercial use"),
        (BackboneName("elp:tiny", PRINT), NONE, STRICT, ""),
        (OURS, MIT, ONLY_MIT, ""),
        (OURS, BackboneOrigin("Apache-2.0", "allowed"), ONLY_MIT, "is not on the list backbones.allow (mit)"),
        (OURS, NONE, ONLY_MIT, ""),
    ],
)
def test_the_licence_decides(name: BackboneName, signed: BackboneOrigin, policy: BackbonePolicy, words: str) -> None:
    found = licence_fault(name, signed, policy)
    assert words in found
    assert bool(found) == bool(words)


def test_a_training_warns_of_an_unknown_and_of_a_forbidden_licence() -> None:
    assert licence_warning(OURS, BackbonePolicy()).endswith("record it: elp backbone add models/ours")
    forbidden = licence_warning(OURS, BackbonePolicy(records={PRINT: RECORDED_NC}))
    assert forbidden.endswith("a champion on it takes an override by two people")
    assert licence_warning(BackboneName("elp:tiny", PRINT), STRICT) == ""


@pytest.mark.parametrize(
    ("text", "spelt", "use"),
    [
        ("apache-2.0", "Apache-2.0", "allowed"),
        ("cc-by-nc-sa-4.0", "CC-BY-NC-SA-4.0", "forbidden"),
        ("cc-by-nc-3.0-igo", "CC-BY-NC-3.0-IGO", "forbidden"),
        ("CC-BY-NC-SA-2.0-FR", "CC-BY-NC-SA-2.0-FR", "forbidden"),
        ("CC-BY-NC-9.0", "CC-BY-NC-9.0", "forbidden"),
        ("PolyForm-Noncommercial-1.0.0", "PolyForm-Noncommercial-1.0.0", "forbidden"),
        ("NCGL-UK-2.0", "NCGL-UK-2.0", "forbidden"),
        ("Acme-Research-only", "Acme-Research-only", "forbidden"),
        # the name of an institute
        ("LicenseRef-Acme-Research-2024", "LicenseRef-Acme-Research-2024", "unknown"),
        ("LicenseRef-NonCommercialUse", "LicenseRef-NonCommercialUse", "forbidden"),
        # NC is not a word of these
        ("NCSA", "NCSA", "unknown"),
        ("Spencer-94", "Spencer-94", "unknown"),
        ("LicenseRef-Acme", "LicenseRef-Acme", "unknown"),
        ("free for all", "", "unknown"),
        # one licence is recorded, and no expression
        ("MIT OR CC-BY-NC-4.0", "", "unknown"),
    ],
)
def test_identifiers_have_one_spelling_and_a_use(text: str, spelt: str, use: str) -> None:
    assert (spdx_spelling(text), commercial_use(spelt)) == (spelt, use)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"allow": ["CC-BY-NC-4.0"]}, "allow names CC-BY-NC-4.0, which forbids commercial use"),
        ({"allow": ["free for all"]}, "which is no SPDX identifier"),
        ({"records": {"elp:tiny": vars(RECORDED_NC)}}, "expected a fingerprint"),
        ({"records": {PRINT: {**vars(RECORDED_NC), "commercial": "allowed"}}}, "but CC-BY-NC-4.0 forbids it"),
        ({"records": {PRINT: {**vars(RECORDED_NC), "commercial": False}}}, "expected one of allowed, forbidden"),
        ({"records": {PRINT: {**vars(RECORDED_NC), "source": " "}}}, "source is empty"),
    ],
)
def test_a_policy_that_cannot_hold_is_refused(values: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault.replace("(", r"\(")):
        from_dict(BackbonePolicy, values)


def test_the_server_reads_what_the_workspace_gives_it() -> None:
    policy = BackbonePolicy(("MIT",), "refuse", {PRINT: RECORDED_NC})
    assert BackbonePolicy.from_environment(policy.to_environment()) == policy
    assert BackbonePolicy.from_environment("") == BackbonePolicy()


def test_a_lineage_names_what_contradicts_the_recorded_licence() -> None:
    record = BackboneRecord(
        "models/ours", "MIT", "allowed", "hub x/y", "speech (1 h)", despite="its card says CC-BY-NC-4.0"
    )
    assert record.origin.source == "hub x/y (recorded although its card says CC-BY-NC-4.0)"


def test_a_lineage_without_a_record_has_the_bytes_of_before() -> None:
    assert "backbone_origin" not in Lineage().to_json()
    named = Lineage(backbone_origin=MIT)
    assert Lineage.from_json(named.to_json()) == named
    assert published_origin("nobody/nothing") is None
