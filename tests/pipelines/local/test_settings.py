"""The settings of a slot's task in `elp.yaml`."""

from __future__ import annotations

import re

import pytest
import yaml

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from elp_core.languages import LanguageConfig
from elp_core.task_specs import ClassificationOptions, VerificationOptions
from pipelines.local.compute_settings import FanOut
from pipelines.local.settings import Settings, read_settings
from pipelines.registry.slot import Slot

FAULTY = """
slots:
  plant-a/asv:
    task: {head: lstm, margin: wide, heads: 2}
    gate: {limits: 0.1}
"""


def test_a_slot_takes_its_tasks_defaults_then_the_tasks_then_its_own() -> None:
    text = "defaults: {asv: {task: {head: xvector}}}\nslots: {plant-a/asv: {task: {channels: 256}}}"
    settings = read_settings(text)
    assert settings.for_slot(Slot("plant-a", "asv")).task == VerificationOptions(head="xvector", channels=256)
    assert settings.for_slot(Slot("other", "asv")).task == VerificationOptions(head="xvector")
    assert settings.for_slot(Slot("plant-a", "ser")).task == ClassificationOptions()


def test_a_preset_changes_the_defaults_and_is_changed_by_the_slots_own_values() -> None:
    text = """
defaults: {asv: {task: {embedding: 64}}}
slots:
  plant-a/asv: {preset: asv-mfa, adapter: {layer: {width: 32}}}
  plant-b/asv: {adapter: {encoder: null, prompt: null, tune_norms: false, layer: {width: 32}}, task: {head: mfa}}
"""
    settings = read_settings(text)
    found = settings.for_slot(Slot("plant-a", "asv"))
    assert found == settings.for_slot(Slot("plant-b", "asv"))  # so both have one training key
    assert found.task == VerificationOptions(head="mfa", embedding=64)
    assert settings.for_slot(Slot("plant-c", "asv")).task.head == "attentive"


@pytest.mark.parametrize(
    ("slot", "message"),
    [
        ("plant-a/asv: {preset: mfa}", "preset is 'mfa', expected one of asv-mfa"),
        ("plant-a/asv: {preset: [asv-mfa]}", r"preset is \['asv-mfa'\], expected one of asv-mfa"),
        ("plant-a/ser: {preset: asv-mfa}", "preset is 'asv-mfa', expected none: there is no preset for ser"),
    ],
)
def test_a_preset_that_is_none_of_the_tasks_is_refused(slot: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_settings(f"slots:\n  {slot}")


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "inf"])
def test_a_number_without_an_end_is_no_setting(number: str) -> None:
    text = f"slots: {{a/asr: {{gate: {{margin: {number}}}}}}}\ndefaults: {{asv: {{data: {{max_seconds: {number}}}}}}}"
    with pytest.raises(ConfigError, match=r"gate\.margin is -?(inf|nan), expected a finite number\n") as caught:
        read_settings(text)
    assert caught.value.faults[1].startswith("defaults.asv.data.max_seconds is ")


@pytest.mark.parametrize(("task", "limit", "margin"), [("asr", 0.5, 0.02), ("asv", 0.25, 0.01), ("sic", 0.25, 0.01)])
def test_the_gates_defaults_are_the_tasks(task: str, limit: float, margin: float) -> None:
    gate = Settings().for_slot(Slot("plant-a", task)).gate
    assert (gate.limit, gate.margin) == (limit, margin)


def test_limits_that_were_renamed_are_read_under_their_older_names() -> None:
    older = read_settings(
        "defaults: {asr: {gate: {safety: {neighbours: 3}}}}\n"
        "slots: {plant-a/asr: {gate: {limit: 0.1, safety: {neighbour_clips: 4}}}}"
    )
    gate = older.for_slot(Slot("plant-a", "asr")).gate
    assert (gate.limit, gate.safety.interference_slots, gate.safety.interference_clips) == (0.1, 3, 4)
    with pytest.raises(ConfigError, match=r"unknown key gate\.safety\.neighbours"):
        read_settings("slots: {plant-a/asr: {gate: {safety: {neighbours: 3, interference_slots: 2}}}}")


def test_the_metric_that_decides_is_one_that_the_slot_has() -> None:
    chosen = read_settings(
        "slots: {a/asr: {language: ru, gate: {metric: cer}}, b/asr: {language: ko, gate: {metric: wer}}}"
    )
    assert [chosen.for_slot(Slot(site, "asr")).gate.metric for site in "abc"] == ["cer", "wer", ""]
    for text, sentence in {
        "slots: {a/asr: {gate: {metric: per}}}": "gate.metric is 'per', expected one of '', wer, cer",
        "slots: {a/asv: {gate: {metric: cer}}}": "gate.metric is for asr; asv has one metric",
        "slots: {a/asr: {language: ja, gate: {metric: wer}}}": "gate.metric is wer, but ja is written without spaces",
    }.items():
        with pytest.raises(ConfigError, match=sentence):
            read_settings(text)


@pytest.mark.parametrize(
    "fault",
    [
        "task.head is 'lstm', expected one of attentive, linear, xvector",
        "task.margin is 'wide', expected a number",
        "unknown key heads",
        "unknown key gate.limits",
    ],
)
def test_all_faults_of_a_slot_are_told_at_once(fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        read_settings(FAULTY)


def test_options_out_of_range_and_of_another_task_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"task\.cohort is 1, expected 2 or more"):
        read_settings("slots: {plant-a/asv: {task: {cohort: 1}}}")
    with pytest.raises(ConfigError, match=r"task\.unknown key cohort, expected one of attention_heads"):
        read_settings("defaults: {ser: {task: {cohort: 9}}}")
    with pytest.raises(ConfigError, match="'tts' is no task, expected one of asr, asv, ser, sic"):
        read_settings("defaults: {tts: {}}")


def test_a_language_is_declared_for_the_workspace_and_for_a_slot() -> None:
    settings = read_settings(
        "language: {code: ja, min_count: 2}\n"
        "slots: {plant-a/asr: {language: de}, plant-b/asr: {language: {digits: spell}}, "
        "plant-c/asr: {language: {letters: auto}}}"
    )
    found = {name: settings.for_slot(Slot.parse(name)).language for name in ("plant-a/asr", "plant-b/asr", "x/asr")}
    assert found == {
        "plant-a/asr": LanguageConfig("de"),
        "plant-b/asr": LanguageConfig("ja", digits="spell", min_count=2),
        "x/asr": LanguageConfig("ja", min_count=2),
    }
    assert settings.for_slot(Slot("plant-c", "asr")).language == LanguageConfig("und", letters="auto")
    assert Settings().for_slot(Slot("plant-a", "asr")).language == LanguageConfig()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("language: jp", "'jp' is no language, expected one of "),
        ("language: no", "YAML reads no as false; write Norwegian in quotes: 'no'"),
        ("slots: {a/asr: {language: [ja]}}", r"\['ja'\] is no language"),
        ("slots: {a/asr: {language: {code: ja, digit: spell}}}", "unknown key digit"),
        ("slots: {a/asr: {task: {language: {code: ja}}}}", "task.language is not set there; declare language next to"),
        ("defaults: {asr: {task: {units: null}}}", "task.units is not set there"),
    ],
)
def test_a_wrong_language_is_named(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read_settings(text)


@pytest.mark.parametrize(
    "text",
    ["{engine: dask}", "{engine: dask, address: 'tls://a.example:8786'}", "{engine: ray, address: 'ray://[::1]:10001'}",
     "{engine: dask, address: 'tcp://localhost:8786'}", "{}"],
)  # fmt: skip
def test_an_engine_is_on_this_machine_or_protected(text: str) -> None:
    assert read_settings(f"fan_out: {text}").fan_out == from_dict(FanOut, yaml.safe_load(text), "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{engine: spark}", "expected one of processes, dask, ray"),
     ("{address: 'tcp://127.0.0.1:1'}", "processes have none"),
     ("{engine: dask, address: 'tcp://10.0.0.7:8786'}", "needs TLS; expected tls://HOST:PORT"),
     ("{engine: dask, address: 'tcp://127.0.0.1.evil.example:8786'}", "needs TLS"),
     ("{engine: dask, address: '10.0.0.7:8786'}", "expected tcp://HOST:PORT or tls://HOST:PORT"),
     ("{engine: dask, address: 'tcp://127.0.0.1:999999'}", "expected tcp://HOST:PORT"),
     ("{engine: dask, address: 'tcp://127.0.0.1:8786@evil.example:1'}", "expected tcp://HOST:PORT"),
     ("{engine: ray, address: auto}", "expected ray://HOST:PORT")],
)  # fmt: skip
def test_an_engine_that_others_could_take_over_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)):
        read_settings(f"fan_out: {text}")
