from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios

import pytest

from pipelines.cli import progress_bar
from pipelines.cli.progress_bar import clips_progress, long_work
from pipelines.progress_text import Pace

WORK = """
import time
from pipelines.cli.progress_bar import long_work
with long_work() as display:
    report = display.counting("training", "steps")
    for step in range(0, 61, 20):
        report(step, 60, "WER 45.00 % (epoch 1/3)")
        display.log(f"line {step}")
        time.sleep(0.2)
print("the end")
"""


def _in_a_terminal(code: str, width: int, **environment: str) -> str:
    """Run Python with a pseudo terminal of this width as its three streams; return all that it wrote."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, width))
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS"}}
    given = inherited | {"TERM": "xterm-256color"} | environment
    with subprocess.Popen([sys.executable, "-c", code], stdin=follower, stdout=follower, stderr=follower, env=given):
        os.close(follower)
        written = b""
        try:
            while part := os.read(leader, 65536):
                written += part
        except OSError:
            pass  # how Linux reports that the other side has closed
    os.close(leader)
    return written.decode()


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_gets_a_bar_with_rate_and_time_left_and_the_lines_above_it(width: int) -> None:
    written = _in_a_terminal(WORK, width)
    assert "━" in written
    assert "20/60 steps, " in written
    assert "/s, " in written
    assert " left, WER 4" in written
    # the bar is erased at the end: each line is written once
    assert [written.count(f"line {step}\r\n") for step in (0, 20, 40, 60)] == [1] * 4
    assert written.endswith("the end\r\n")


def test_a_dumb_terminal_gets_plain_lines() -> None:
    written = _in_a_terminal(WORK, 80, TERM="dumb")
    assert written == "line 0\r\nline 20\r\nline 40\r\nline 60\r\nthe end\r\n"


def test_without_colours_the_bar_has_none() -> None:
    written = _in_a_terminal(WORK, 80, NO_COLOR="1")
    assert "━" in written
    assert "\x1b[3" not in written.replace("\x1b[?", "")


def test_a_pipe_gets_a_line_every_half_minute(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    now = [0.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress_bar, "Pace", lambda unit: Pace(unit, lambda: now[0]))
    with clips_progress() as report:
        for now[0] in range(0, 70, 10):
            report(int(now[0]), 100, 61.0)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "reading: 30/100 clips, 1.0/s, 1 min 10 s left, 1 min 01 s of audio (30 %)\n"
        "reading: 60/100 clips, 1.0/s, 40.0 s left, 1 min 01 s of audio (60 %)\n"
    )


def test_quiet_work_prints_only_what_is_logged(capsys) -> None:
    with clips_progress(quiet=True) as report:
        assert report is None
    with long_work(quiet=True) as display:
        display.counting("gate", "clips")(1, 2, "")
        display.log("evaluating")
    assert capsys.readouterr() == ("", "evaluating\n")
