"""Whatever an annotation file is, its segments are clips, have a fault, or the file is refused in a sentence."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.datasets.importers import IMPORTERS
from pipelines.errors import IntakeError
from tests.pipelines.datasets.test_annotations import FORMATS, recording, write
from tests.support.mutations import spoilt_bytes

EXAMPLES = int(os.environ.get("ELP_FUZZ", "500"))
BY_NAME = {importer.name: importer for importer in IMPORTERS}
pytestmark = pytest.mark.timeout(7200)


@settings(
    max_examples=max(EXAMPLES // 4, 10),
    deadline=None,
    derandomize="ELP_FUZZ" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(form=st.sampled_from(sorted(FORMATS)), data=st.data())
def test_a_spoilt_annotation_file(form: str, data: st.DataObject) -> None:
    name, text, _ = FORMATS[form]
    content = data.draw(spoilt_bytes(text.encode()))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        recording(folder / "call.wav", 0.5)
        path = write(folder, name, content)
        assert BY_NAME[form].accepts(folder) in (True, False)
        try:
            clips = list(BY_NAME[form].read(path))
        except IntakeError as error:
            for said in (str(error.args[0]), *error.faults):
                assert 0 < len(said) < 1000
                assert "Traceback" not in said
            return
    for clip in clips:
        assert clip.fault or (clip.seconds or 0) > 0
        assert clip.start >= 0
        assert clip.speaker
        "".join((clip.text, clip.speaker)).encode()
