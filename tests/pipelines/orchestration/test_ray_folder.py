"""What a run that was killed has left of its Ray cluster is removed by a later run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pipelines.orchestration.ray_folder import ray_folder

ROOT = Path(__file__).parents[3]
_LEAVE = """
import os, signal, sys
from pathlib import Path
from pipelines.orchestration.ray_folder import ray_folder
with ray_folder(Path(sys.argv[1])) as folder:
    (folder / "session").mkdir()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_folder_of_a_killed_run_is_removed_by_the_next_one_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", _LEAVE, str(tmp_path)], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    [left] = tmp_path.iterdir()
    (other := tmp_path / "another-program").mkdir()
    with ray_folder(tmp_path) as living:
        assert left.is_dir(), "it may have been made a moment ago"
        for folder in (left, living, other):
            os.utime(folder, (1, 1))
        with ray_folder(tmp_path) as second:
            assert set(tmp_path.iterdir()) == {living, other, second}
    assert list(tmp_path.iterdir()) == [other]
