"""A large evaluation in parts: the same bits, in this process, in others, and in none that computes otherwise."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from elp_core.assemble import build, evaluation_batches
from elp_core.backbones import Backbone
from elp_core.bundle import write_bundle
from elp_core.config import TrainConfig
from elp_core.errors import AudioError
from elp_core.tasks import make_task
from elp_core.testing import save_tiny
from elp_core.types import Clip
from pipelines.chunk_map import ChunkMap
from pipelines.errors import UsageError
from pipelines.gating import batch_answers, divided_evaluation
from pipelines.gating.divided_evaluation import EvaluatedSystem, answer_systems, judge_answers, own_processes
from pipelines.local.compute_settings import Compute
from pipelines.registry.evidence_scores import pack_scores
from tests.support.bundles import SMALL
from tests.support.clips import two_speakers

TRAIN = TrainConfig(batch_seconds=2.0, device="cpu")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every evaluation is large, and a worker has loaded nothing."""
    monkeypatch.setattr(divided_evaluation, "LARGE", 0.0)
    monkeypatch.setattr(divided_evaluation, "CHUNK_SECONDS", 3.0)
    monkeypatch.setattr(batch_answers, "_loaded", {})
    monkeypatch.setattr(batch_answers, "_backbones", {})


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return two_speakers(12)


@pytest.fixture
def systems(
    checkpoint: Path, clips: list[Clip], tmp_path: Path, request: pytest.FixtureRequest
) -> list[EvaluatedSystem]:
    return make_systems(checkpoint, clips, tmp_path, getattr(request, "param", "asv"))


def make_systems(checkpoint: Path, clips: Sequence[Clip], folder: Path, task: str) -> list[EvaluatedSystem]:
    backbone, made = Backbone.from_pretrained(checkpoint), []
    for seed in (0, 1):
        model = build(backbone, SMALL, make_task(task, clips), seed).eval()
        digest = write_bundle(folder / f"bundle-{seed}", model, {}, {})
        made.append(EvaluatedSystem(f"v{seed}", digest, folder / f"bundle-{seed}", model))
    return made


class Here:
    """An engine in this process: work and chunks cross as pickles, and what crossed is kept."""

    def __init__(self, change: Callable[[Any, tuple[Any, ...]], tuple[Any, ...]] = lambda _, arguments: arguments):
        self.chunks: list[Any] = []
        self.work: Any = None
        self._change = change

    def __call__(self, work: Any, chunks: Iterator[Sequence[Any]]) -> Iterator[list[Any]]:
        self.work = pickle.loads(pickle.dumps(work))
        for chunk in chunks:
            self.chunks.append(pickle.loads(pickle.dumps(chunk)))
            yield pickle.loads(pickle.dumps(self.work.func(*self._change(self, self.work.args), self.chunks[-1])))


def scores_of(
    systems: list[EvaluatedSystem], clips: Sequence[Clip], chunk_map: ChunkMap | None
) -> tuple[str, list[Any]]:
    """Return all that an evidence takes from the evaluations, as text, and what was reported."""
    reported: list[Any] = []
    answers = answer_systems(systems, clips, TRAIN, chunk_map, lambda name, done: reported.append((name, done)))
    found = judge_answers(systems, answers, clips, None, TRAIN)
    content = [[pack_scores(one.scores), one.metric, one.value.hex(), sorted(one.extra.items())] for one in found]
    return json.dumps(content), reported


@pytest.mark.parametrize("systems", ["asr", "asv"], indirect=True)
def test_a_divided_evaluation_has_the_bits_of_a_whole_one(
    systems: list[EvaluatedSystem], clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    whole, _ = scores_of(systems, clips, None)
    plain = Backbone.from_pretrained
    monkeypatch.setattr(Backbone, "from_pretrained", lambda name: loaded.append(name) or plain(name))
    engine = Here()
    divided, reported = scores_of(systems, clips, engine)
    assert divided == whole
    # batches of the whole evaluation, none cut, of one system in each chunk
    batches = evaluation_batches([clip.duration for clip in clips], TRAIN.batch_seconds)
    sent = [[batch.audio for batch in chunk] for chunk in engine.chunks]
    expected = [tuple(clips[place].audio for place in batch) for batch in batches]
    assert list(itertools.chain(*sent)) == expected * 2
    assert [len({batch.system for batch in chunk}) for chunk in engine.chunks] == [1] * len(engine.chunks)
    assert len(engine.chunks) >= 6
    assert [reported[-1], max(done for name, done in reported if name == "v0")] == [("v1", 24), 24]
    # no name, no speaker and no word of a clip crosses, and the weights are read once
    content = pickle.dumps(engine.chunks)
    assert not any(value.encode() in content for value in (clips[0].id, "yes", "high"))
    assert len(loaded) == 1


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(
    systems: list[EvaluatedSystem], clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    whole, _ = scores_of(systems, clips, None)
    assert scores_of(systems, clips, own_processes(Compute(processes=2), "cpu"))[0] == whole
    spoilt = [*clips[:-1], replace(clips[-1], audio=b"fLaC and nothing that follows")]
    with pytest.raises(AudioError, match="cannot be read as audio") as here:
        scores_of(systems, spoilt, None)
    with pytest.raises(AudioError, match="cannot be read as audio") as there:
        scores_of(systems, spoilt, own_processes(Compute(processes=2), "cpu"))
    assert (there.value.reason, str(there.value)) == (here.value.reason, str(here.value))


def test_a_small_evaluation_or_a_single_process_starts_nothing(
    systems: list[EvaluatedSystem], clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> Any:
        pytest.fail("it was divided")

    assert own_processes(Compute(), "auto") is None
    monkeypatch.setattr(divided_evaluation, "LARGE", 600.0)
    assert json.loads(scores_of(systems, clips, refused)[0])


def test_a_process_has_a_gpu_of_its_own_and_a_single_gpu_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(divided_evaluation, "processes_map", lambda environments: given.append(environments) or len)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaaa,GPU-bbbb")
    assert own_processes(Compute(processes=4), "auto") is not None
    assert [one["CUDA_VISIBLE_DEVICES"] for one in given[0]] == ["GPU-aaaa", "GPU-bbbb"]
    assert own_processes(Compute(processes=2), "cpu") is not None
    assert ["CUDA_VISIBLE_DEVICES" in one for one in given[1]] == [False, False]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert own_processes(Compute(processes=2), "cuda") is None


@pytest.mark.parametrize(
    ("system", "arithmetic", "expected"),
    [
        ({}, {"processor": "abacus"}, "computes on .*, and the run on abacus: .* workers of one kind"),
        ({}, {"device": "cuda", "processor": "NVIDIA H200"}, "computes on .*, and the run on NVIDIA H200"),
        ({"fingerprint": "sha256:0"}, {}, "has the fingerprint sha256:.*that of the run sha256:0; install the same"),
        ({"backbone": "/no/such/folder"}, {}, "cannot load the backbone /no/such/folder .* under the same name"),
        ({"digest": "sha256:0"}, {}, "a bundle arrived as sha256:.*, and sha256:0 was sent"),
    ],
)
def test_a_worker_refuses_what_would_have_other_bits(
    systems: list[EvaluatedSystem], clips: list[Clip], system: dict[str, str], arithmetic: dict[str, str], expected: str
) -> None:
    if torch.cuda.is_available() and "device" in arithmetic:
        pytest.skip("this machine has a GPU")

    def change(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        sent, how = arguments
        return tuple(replace(one, **system) for one in sent), replace(how, **arithmetic)

    with pytest.raises(UsageError, match=expected):
        scores_of(systems, clips, Here(change))


def test_a_worker_computes_with_the_threads_of_the_run(systems: list[EvaluatedSystem], clips: list[Clip]) -> None:
    used: list[int] = []
    before = torch.get_num_threads()
    plain = batch_answers.this_arithmetic

    def change(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return arguments[0], replace(arguments[1], threads=before + 1)

    model = batch_answers._model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_answers, "_model", lambda *given: used.append(torch.get_num_threads()) or model(*given))
        scores_of(systems, clips, Here(change))
    assert set(used) == {before + 1}
    assert plain("cpu").threads == before
