"""Commands in messages at a box: each works there as it is printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.cli.box_hints import note_box, with_box
from pipelines.cli.main import run

BOX = Path("/var/lib/elp box")
QUOTED = "'/var/lib/elp box'"


@pytest.fixture(autouse=True)
def no_box() -> Iterator[None]:
    note_box(None)
    yield
    note_box(None)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("renew: elp enrol migrate p/asv --version 4", f"renew: elp enrol migrate --box {QUOTED} p/asv --version 4"),
        ("pull again: elp pull p", f"pull again: elp pull --box {QUOTED} p"),
        ("elp box enrol, or elp box key", f"elp box enrol --box {QUOTED}, or elp box key --box {QUOTED}"),
        ("start elp serve again", f"start elp serve --box {QUOTED} again"),
        # named already, and only in the first of two
        ("elp pull p --box /x, then elp serve", f"elp pull p --box /x, then elp serve --box {QUOTED}"),
        # these are for the control host, or are no commands
        (
            "elp box invite NAME SITE; elp promote p/asr; elp foundry",
            "elp box invite NAME SITE; elp promote p/asr; elp foundry",
        ),
    ],
    ids=str,
)
def test_a_command_that_takes_a_box_has_it(message: str, shown: str) -> None:
    assert with_box(message) == message
    note_box(BOX)
    assert with_box(message) == shown


def test_a_box_by_default_is_named_only_if_the_command_would_not_find_it() -> None:
    note_box(BOX, named=False)
    assert with_box("elp pull p; elp enrol list p/asv") == f"elp pull p; elp enrol list --box {QUOTED} p/asv"


def test_what_an_error_at_a_box_names_is_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = tmp_path / "edge box"
    medium = ["--to", str(tmp_path / "stick"), "--box", str(box)]
    assert run(["box", "key", "gate-1", "plant-a", *medium]) == 0
    # on the control host there is no such folder
    assert "elp box add gate-1 plant-a --key" in capsys.readouterr().out
    assert run(["predict", "plant-a/asr", __file__, "--box", str(box)]) == 1
    assert f"it has no adapter; bring it up to date: elp pull --box '{box}' plant-a\n" in capsys.readouterr().err
    assert run(["enrol", "list", "plant-a/asv", "--box", str(box)]) == 0
    (named,) = re.findall(r"enrol one: elp (.*)", capsys.readouterr().out)
    # but for the recordings that it asks for, the command can be read
    assert run(shlex.split(named)) == 2
    assert "File 'FILE' does not exist" in capsys.readouterr().err
