from __future__ import annotations

from pathlib import Path

import pytest
import torch

from elp_core.assemble import build, evaluate
from elp_core.bundle import load_bundle, write_bundle
from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig
from elp_core.inference import predict
from elp_core.languages import LanguageConfig, UnitsConfig
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks import make_task
from elp_core.tasks.asr import SpeechRecognition
from elp_core.testing import tiny_backbone
from tests.support.clips import clip, tone

SMALL = ElpConfig(EncoderAdapterConfig(4), LayerAdapterConfig(8), None)


@pytest.mark.parametrize(
    ("config", "texts"),
    [
        (LanguageConfig("ja"), ["今日は東京", "ok google"]),
        (LanguageConfig("ko", units=UnitsConfig("jamo")), ["한국 사람", "안녕하세요"]),
        (LanguageConfig("de", units=UnitsConfig("bpe", 30)), ["die straße", "die große straße"]),
    ],
)
def test_a_bundle_answers_as_the_model_that_it_was_written_from(
    config: LanguageConfig, texts: list[str], tmp_path: Path
) -> None:
    clips = [clip(tone(0.5 + place / 5), text) for place, text in enumerate(texts)]
    task = make_task("asr", clips, RecognitionOptions(width=8, language=config))
    model = build(tiny_backbone(), SMALL, task, seed=0)
    digest = write_bundle(tmp_path / "bundle", model, {}, {"cer": 0.5})
    back = load_bundle(tmp_path / "bundle", tiny_backbone())
    assert isinstance(back.task, SpeechRecognition)
    assert (back.task.units, back.task.language.code) == (task.units, config.code)
    assert write_bundle(tmp_path / "again", back, {}, {"cer": 0.5}) == digest
    assert predict(back, [tone(0.4)]) == predict(model, [tone(0.4)])
    assert evaluate(back, clips, device="cpu").metric == back.task.metric


def test_the_loss_of_other_units_reaches_the_head() -> None:
    config = LanguageConfig("ja")
    clips = [clip(tone(0.5), "今日は"), clip(tone(0.6), "東京")]
    task = make_task("asr", clips, RecognitionOptions(width=8, language=config))
    head = task.build_head(6)
    loss = task.loss(head, torch.randn(2, 9, 6), torch.tensor([9, 9]), task.targets(clips))
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert bool(head.get_parameter("letters.weight").grad.abs().sum() > 0)
