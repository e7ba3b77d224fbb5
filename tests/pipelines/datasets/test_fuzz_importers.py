"""Whatever a delivery is, it is taken in right, quarantined with a reason, or refused in a sentence."""

from __future__ import annotations

import functools
import os
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elp_core.names import normal_name
from pipelines.datasets.delivery import ClipFault, DeliveryContent, DeliveryOptions, Importer, read_delivery
from pipelines.datasets.importers import IMPORTERS, choose_importer
from pipelines.datasets.importers.fsdd import FSDD
from pipelines.datasets.measuring import IntakeSettings, measure_clip
from pipelines.datasets.transcripts import apply_transcript_rules
from pipelines.errors import IntakeError, UsageError
from pipelines.registry.policies import DataPolicy
from pipelines.registry.slot import Slot
from tests.pipelines.datasets.test_annotations import FORMATS
from tests.pipelines.datasets.test_damaged_corpora import LISTINGS, tree
from tests.support.clips import voice, wav
from tests.support.mutations import (
    LAYOUTS,
    NAMES,
    Files,
    base_rows,
    read_files,
    spoilt_bytes,
    spoilt_delivery,
    spoilt_tree,
    write_files,
)

EXAMPLES = int(os.environ.get("ELP_FUZZ", "500"))
"""Mutated inputs in all: `make fuzz` takes 20,000 and draws others each time."""
fuzz = settings(
    max_examples=max(EXAMPLES // 28, 10),
    deadline=None,
    derandomize="ELP_FUZZ" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
pytestmark = pytest.mark.timeout(7200)
POLICY = DataPolicy()


def _taken(source: Path, importer: Importer | None, options: dict[str, str], spool: Path) -> DeliveryContent | None:
    """What intake reads of a source; None if it refuses it in a sentence."""
    try:
        chosen = importer or choose_importer(source, None, options)
        content = read_delivery(source, chosen, DeliveryOptions(format_options=options), POLICY, spool)
    except (IntakeError, UsageError) as error:
        _require_sentence(str(error.args[0]))
        for fault in getattr(error, "faults", ()):
            _require_sentence(fault)
        return None
    content = apply_transcript_rules(content, Slot("plant", "asr"), "quarantine", "en")
    for clip in content.clips:
        assert all(normal_name(name) == name for name in (clip.path, clip.speaker, clip.label, clip.condition))
        "".join((clip.path, clip.text, clip.speaker, clip.label, clip.condition)).encode()
        measured = measure_clip(clip, IntakeSettings(POLICY, DeliveryOptions(), content.name))
        if isinstance(measured, ClipFault):
            assert measured.reason.isidentifier()
            _require_sentence(measured.detail)
    return content


def _require_sentence(text: str) -> None:
    assert 5 < len(text) < 12_000
    assert not any(word in text for word in ("Traceback", "NoneType", "object at 0x", "KeyError", "AttributeError"))
    text.encode()


@pytest.mark.parametrize("layout", LAYOUTS)
@fuzz
@given(data=st.data())
def test_a_manifest_of_any_kind(layout: str, data: st.DataObject) -> None:
    files = data.draw(spoilt_delivery(layout))
    encoding = data.draw(st.sampled_from(("", "", "", "cp932", "utf-16", "latin-1", "no such")))
    with tempfile.TemporaryDirectory() as name:
        source = write_files(Path(name) / "in", files)
        content = _taken(source, None, {"encoding": encoding} if encoding else {}, Path(name) / "spool")
    if content is None or encoding:
        return
    # the rows that nothing was done to are as they were
    expected = {row["speaker"]: row["text"] for row in base_rows("path")[1:]}
    found = {clip.speaker: clip.text for clip in content.clips if clip.speaker in NAMES[1:] and not clip.fault}
    if files[LAYOUTS[layout][0]] == LAYOUTS[layout][2](base_rows(LAYOUTS[layout][1])).encode():
        assert found == expected


@fuzz
@given(data=st.data())
def test_an_archive_of_any_kind(data: st.DataObject) -> None:
    packed = BytesIO()
    sound = wav(voice(0.15, 300, 1))
    with tarfile.open(fileobj=packed, mode=data.draw(st.sampled_from(("w", "w:gz")))) as archive:
        for name in ("recordings/7_theo_0.wav", data.draw(st.text(max_size=12)) + ".wav"):
            member = tarfile.TarInfo(name.replace("\0", ""))
            member.size = len(sound)
            archive.addfile(member, BytesIO(sound))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "fsdd.tar"
        source.write_bytes(data.draw(spoilt_bytes(packed.getvalue())))
        _taken(source, FSDD, {}, Path(folder) / "spool")


@functools.cache
def _annotated(form: str) -> Files:
    name, text, _ = FORMATS[form]
    words = {"call.txt": b"open the door\nthank you\n"} if form == "rttm" else {}
    return Files({"call.wav": wav(voice(7.0, 300, 1), 8000), name: text.encode(), **words})


@functools.cache
def _published(corpus: str) -> Files:
    with tempfile.TemporaryDirectory() as name:
        return read_files(tree(corpus, Path(name)))


@pytest.mark.parametrize("corpus", LISTINGS)
@fuzz
@given(data=st.data())
def test_a_corpus_of_any_kind(corpus: str, data: st.DataObject) -> None:
    files = data.draw(spoilt_tree(_published(corpus)))
    with tempfile.TemporaryDirectory() as name:
        source = write_files(Path(name) / "in", files)
        _taken(source, None, {}, Path(name) / "spool")


@pytest.mark.parametrize("form", FORMATS)
@fuzz
@given(data=st.data())
def test_a_tree_of_any_kind(form: str, data: st.DataObject) -> None:
    importer = next(one for one in IMPORTERS if one.name == form)
    files = data.draw(spoilt_tree(_annotated(form)))
    with tempfile.TemporaryDirectory() as name:
        source = write_files(Path(name) / "in", files)
        _taken(source, data.draw(st.sampled_from((None, importer))), {}, Path(name) / "spool")


@fuzz
@given(data=st.data())
def test_a_format_that_a_source_does_not_have(data: st.DataObject) -> None:
    importer = data.draw(st.sampled_from(IMPORTERS))
    layout = data.draw(st.sampled_from(sorted(LAYOUTS)))
    files = data.draw(spoilt_delivery(layout))
    with tempfile.TemporaryDirectory() as name:
        source = write_files(Path(name) / "in", files)
        if data.draw(st.booleans()):
            source /= data.draw(st.sampled_from(sorted(files)))
        _taken(source, importer, {}, Path(name) / "spool")
