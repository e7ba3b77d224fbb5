from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from elp_core.config import AugmentConfig, TrainConfig
from elp_core.data.store import TensorStore
from elp_core.tasks import make_task
from elp_core.testing import tiny_backbone
from elp_core.training.batches import TrainingBatches, join, trainable_clips
from elp_core.types import Clip
from tests.support.clips import clip, tone, two_speakers

CLIPS = two_speakers(4)
CONFIG = TrainConfig(batch_seconds=2.0, min_steps=1, augment=AugmentConfig(variants=2, join=0.6))


def batches_of(
    config: TrainConfig = CONFIG, task: str = "asr", store: TensorStore | None = None, clips: list[Clip] = CLIPS
) -> TrainingBatches:
    return TrainingBatches(clips, make_task(task, clips), tiny_backbone("hubert"), config, store=store)


def test_an_epoch_has_every_clip_once() -> None:
    ids = [clip_id for batch in batches_of().batches(0) for clip_id in batch.ids]
    assert sorted(ids) == sorted(c.id for c in CLIPS)


def test_the_rest_of_an_epoch_is_as_if_it_had_begun_at_the_start() -> None:
    whole, rest = list(batches_of().batches(3)), list(batches_of().batches(3, start=2))
    assert [e.ids for e in rest] == [e.ids for e in whole[2:]]
    assert all(torch.equal(a.values, b.values) for a, b in zip(rest, whole[2:], strict=True))


def test_copies_take_turns_and_the_first_is_the_recording() -> None:
    off = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0, time_mask=0.0, feature_mask=0.0, join=0.0)
    plain = replace(CONFIG, augment=off)
    varied = replace(CONFIG, augment=replace(off, noise_probability=1.0, variants=2))
    first, second, third = (next(batches_of(varied).batches(epoch)).values for epoch in (0, 1, 2))
    assert torch.equal(first, next(batches_of(plain).batches(0)).values)
    assert not any(torch.equal(second, other) for other in (first, third))


def test_margins_make_copies_longer_and_not_the_recording() -> None:
    off = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0, time_mask=0.0, feature_mask=0.0, join=0.0)
    wide = batches_of(replace(CONFIG, augment=replace(off, variants=2, margin=2.0)))
    recording, copy = (sum(int(batch.counts.sum()) for batch in wide.batches(epoch)) for epoch in (0, 1))
    assert recording == sum(int(batch.counts.sum()) for batch in batches_of(replace(CONFIG, augment=off)).batches(0))
    assert recording + 50 < copy <= recording + len(CLIPS) * 201


def test_a_share_of_the_copies_gets_conditions_which_only_the_seed_decides() -> None:
    off = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0, time_mask=0.0, feature_mask=0.0, join=0.0)
    families = ("babble", "noise", "telephone", "codec", "clipping", "packet-loss")
    config = replace(CONFIG, augment=replace(off, variants=3, conditions=0.5, families=families))

    def rows(epoch: int, seed: int = 0) -> dict[str, torch.Tensor]:
        whole = list(batches_of(replace(config, seed=seed)).batches(epoch))
        return {one: batch.values[at, : int(batch.counts[at])] for batch in whole for at, one in enumerate(batch.ids)}

    recordings, copies, again, other = rows(0), rows(1), rows(4), rows(1, seed=1)
    changed = {one for one in copies if not torch.equal(copies[one], recordings[one])}
    assert 0 < len(changed) < len(CLIPS)
    assert all(torch.equal(copies[one], again[one]) for one in copies)
    assert changed != {one for one in other if not torch.equal(other[one], recordings[one])}


def test_another_training_finds_the_copies_of_this_one_unless_they_depend_on_other_clips(tmp_path: Path) -> None:
    def files(config: TrainConfig, store: TensorStore, clips: list[Clip] = CLIPS) -> int:
        for epoch in (0, 1):
            own, bare = (batches_of(config, clips=clips, store=one).batches(epoch) for one in (store, None))
            assert all(torch.equal(a.values, b.values) for a, b in zip(own, bare, strict=True))
        return len(list(store.folder.rglob("*.safetensors")))

    store, both = TensorStore(tmp_path / "large"), 2 * len(CLIPS)
    assert files(CONFIG, store) == both
    longer = replace(CONFIG, epochs=3, lr_head=1e-4)
    assert files(longer, store) == both, "of a training that draws the same copies"
    for number, changed in enumerate((replace(CONFIG, seed=1), replace(CONFIG, augment=AugmentConfig(variants=2)))):
        assert files(changed, store) == both + (number + 1) * len(CLIPS)
    for families, again in (("noise",), 0), (("babble",), 1):
        store = TensorStore(tmp_path / families[0])
        disturbed = replace(CONFIG, augment=AugmentConfig(variants=2, conditions=0.5, families=families))
        assert files(disturbed, store) == both
        changed = sum(bool(batches_of(disturbed)._conditions(clip, 1)) for clip in CLIPS)
        assert 0 < changed < len(CLIPS)
        more = two_speakers(5)
        # of the clips that were there, those with other voices are made again
        assert files(disturbed, store, more) == 2 * len(more) + again * changed
    assert files(CONFIG, TensorStore(tmp_path / "small", 2**14)) <= len(CLIPS), "no room for all: recordings only"


def test_joined_clips_say_their_texts_in_turn() -> None:
    both = join(CLIPS[:2])
    assert (both.text, both.duration) == ("no yes", CLIPS[0].duration + CLIPS[1].duration)
    assert join(CLIPS[:1]) is CLIPS[0]


def test_a_small_set_still_makes_steps_enough() -> None:
    config = replace(CONFIG, batch_seconds=1000.0, augment=replace(CONFIG.augment, join=0.0))
    assert len(batches_of(config).plan(0)) <= 2
    assert len(batches_of(replace(config, min_steps=3)).plan(0)) >= 3


def test_only_tasks_that_can_join_do() -> None:
    assert any(len(group) > 1 for batch in batches_of().plan(0) for group in batch)
    assert all(len(group) == 1 for batch in batches_of(task="asv").plan(0) for group in batch)


def test_frames_decide_what_is_too_short() -> None:
    task = make_task("asr", CLIPS)
    exact, short = clip(tone((400 + 320 * 5) / 16000), "three"), clip(tone((399 + 320 * 5) / 16000), "three")
    assert trainable_clips(task, tiny_backbone(), [exact, short], CLIPS) == ([exact], (short.id,))


def test_the_hop_of_the_backbone_decides_what_is_too_short() -> None:
    # strides of 5 · 2⁵ · 4 = 640 samples: a frame every 40 ms
    slow = tiny_backbone("wav2vec2", conv_kernel=[10, 3, 3, 3, 3, 2, 4], conv_stride=[5, 2, 2, 2, 2, 2, 4])
    task = make_task("asr", CLIPS)
    needed = slow.samples_needed(task.frames_needed(clip(tone(1.0), "three")))
    assert (slow.hop, slow.frame_counts(torch.tensor([needed - 1, needed])).tolist()) == (640, [5, 6])
    exact, short = clip(tone(needed / 16000), "three"), clip(tone((needed - 1) / 16000), "three")
    assert trainable_clips(task, slow, [exact, short], CLIPS) == ([exact], (short.id,))
    fast = AugmentConfig(speed=0.5, noise_probability=0.0, gain_db=0.0, time_mask=0.0, feature_mask=0.0, variants=8)
    batches = TrainingBatches([exact], task, slow, replace(CONFIG, augment=replace(fast, join=0.0)))
    assert all(int(batch.counts.min()) >= 6 for epoch in range(8) for batch in batches.batches(epoch))
