from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from elp_core.frame_rate import USUAL_FRAME_RATE, frame_rate
from elp_core.testing import save_tiny


@pytest.mark.parametrize("name", ["elp:tiny", "/nowhere/at/all", "nobody/nothing", "no..body/no thing", "plain"])
def test_a_configuration_that_is_not_here_has_the_usual_rate(name: str) -> None:
    assert frame_rate(name) == USUAL_FRAME_RATE


def test_the_strides_of_a_checkpoint_decide(tmp_path: Path) -> None:
    assert frame_rate(str(save_tiny(tmp_path / "usual"))) == 50.0
    other = save_tiny(tmp_path / "slow", "wav2vec2", conv_stride=[5, 2, 2, 2, 2, 2, 4])
    assert frame_rate(str(other)) == 25.0
    (other / "config.json").write_text("{")
    assert frame_rate(str(other)) == USUAL_FRAME_RATE


def test_it_needs_no_torch() -> None:
    code = "import sys, elp_core.frame_rate as f; f.frame_rate('elp:tiny'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
