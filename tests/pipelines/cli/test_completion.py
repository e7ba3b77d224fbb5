"""Completion in a real bash, and its words for the other shells."""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli.known_slots import adapter_versions_of, dataset_versions_of, known_slots, meant_slot, nearest
from pipelines.cli.main import run
from pipelines.local.workspace import Workspace

BASH = """\
eval "$(elp completion bash)"
COMP_LINE={words}
COMP_POINT=${{#COMP_LINE}}
complete -p elp > /dev/null
_elp_completion elp
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def slots(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for slot in ("data/plant-a/asr", "data/plant-a/asv", "inbox/call-b/asr"):
        (workspace.root / slot).mkdir(parents=True)
    for tag in ("data/plant-a/asr/v1", "data/plant-a/asr/v2", "data/plant-a/asr/v10", "golden/plant-a/asr/v1"):
        subprocess.run(["git", "tag", tag], cwd=workspace.root, check=True)
    monkeypatch.chdir(workspace.root)
    return workspace


def _completed(root: Path, words: str) -> list[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    code = BASH.format(words=shlex.quote(words))
    done = subprocess.run(
        ["bash", "-c", code], cwd=root, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("elp ret", ["retrain", "retire"]),
        ("elp schedule re", ["resume", "remove"]),
        ("elp versions ", ["list"]),
        ("elp gate plant-a/as", ["plant-a/asr", "plant-a/asv"]),
        ("elp train call", ["call-b/asr"]),
        ("elp versions list plant-a/asv", ["plant-a/asv"]),
        ("elp train plant-a/asr --data v1", ["v10", "v1"]),
        ("elp data golden plant-a/asr --from v2", ["v2"]),
        # bash replaces the last part of the word, which begins with @
        ("elp data show plant-a/asr@v1", ["@v10", "@v1"]),
        ("elp data show plant-a/asr@", ["@v10", "@v2", "@v1"]),
        ("elp train plant-a/asr --data=v2", ["v2"]),
        ("elp retire plant-a/asr --reason 'it is old' --js", ["--json"]),
        ("elp gate 'plant-a/asr' --dry", ["--dry-run"]),
        ("elp promote plant-a/asr --version ", []),
        ("elp completion f", ["fish"]),
    ],
)
def test_bash_completes_verbs_slots_and_versions(slots: Workspace, words: str, expected: list[str]) -> None:
    assert sorted(_completed(slots.root, words)) == sorted(expected)


def _typed(keys: str, root: Path) -> str:
    """Type keys into an interactive bash with the completion; return the line that it makes of them."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    leader, follower = pty.openpty()
    given = {**os.environ, "PATH": path, "TERM": "dumb", "PS1": "$ ", "INPUTRC": os.devnull}
    command = ["bash", "--norc", "--noprofile", "-i"]
    with subprocess.Popen(
        command, cwd=root, stdin=follower, stdout=follower, stderr=follower, env=given, start_new_session=True
    ) as shell:
        os.close(follower)
        # Ctrl-A and Ctrl-E: the line becomes the argument of echo
        os.write(leader, f'eval "$(elp completion bash)"\n{keys}\x01echo "<\x05>"\nexit\n'.encode())
        written = b""
        try:
            while part := os.read(leader, 65536):
                written += part
        except OSError:
            pass  # how Linux reports that the other side has closed
        os.close(leader)
        shell.wait(60)
    return re.findall(r"^<(.*)>\r$", written.decode(), re.M)[-1]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("elp data show plant-a/asv@v\t", "elp data show plant-a/asv@v37 "),
        ("elp data log pl\tv\t", "elp data log plant-a/asv "),
        ("elp train plant-a/asv --data=\t", "elp train plant-a/asv --data=v37 "),
        ("elp comple\tba\t", "elp completion bash "),
    ],
)
def test_keys_in_an_interactive_bash(slots: Workspace, keys: str, line: str) -> None:
    subprocess.run(["git", "tag", "data/plant-a/asv/v37"], cwd=slots.root, check=True)
    assert _typed(keys, slots.root) == line


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_accepts(capfd, tmp_path: Path, shell: str) -> None:
    assert run(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capfd.readouterr().out)
    assert "_ELP_COMPLETE" in script.read_text()
    if shutil.which(shell):
        assert subprocess.run([shell, "-n", script], capture_output=True, text=True).stderr == ""


def test_slots_are_completed_without_heavy_imports(slots: Workspace) -> None:
    code = (
        "import sys\nfrom pipelines.cli.main import run\n"
        "try:\n run([])\nfinally:\n print(*sys.modules, file=sys.stderr)"
    )
    given = {**os.environ, "_ELP_COMPLETE": "bash_complete", "COMP_WORDS": "elp audit ", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-c", code], cwd=slots.root, capture_output=True, text=True, env=given)
    assert done.stdout.split() == ["plain,call-b/asr", "plain,plant-a/asr", "plain,plant-a/asv"]
    assert not {"torch", "mlflow", "prefect", "great_expectations", "rich"} & set(done.stderr.split())


def test_what_is_read_is_what_the_folders_and_tags_say(slots: Workspace, tmp_path: Path) -> None:
    assert known_slots() == known_slots(slots.root / "data") == ["call-b/asr", "plant-a/asr", "plant-a/asv"]
    assert dataset_versions_of("plant-a/asr") == ["v10", "v2", "v1"]
    assert (known_slots(tmp_path / "none"), dataset_versions_of("a/asr", tmp_path / "none")) == ([], [])


def test_no_versions_are_completed_without_an_answer_of_the_server(slots: Workspace) -> None:
    assert adapter_versions_of("plant-a/asr") == []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (slots.root / "elp.yaml").write_text(f"servers: {{mlflow_uri: '{address}'}}\n")
        # without a limit it would wait for ever
        assert adapter_versions_of("plant-a/asr") == []
        silent.settimeout(0)
        silent.accept()[0].close()


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["gate", "plant-b/asr"], "plant-a/asr"),
        (["data", "show", "plnt-a/asv@v3"], "plant-a/asv"),
        (["gate", "plant-a/asr"], ""),
        (["retrain", "zzzz/ser"], ""),
        (["status"], ""),
        (["predict", "plant-a/asr", "x/y.wav"], ""),
        (["data", "add", "./plant-b/asr"], ""),
    ],
)
def test_a_slot_that_was_meant_is_suggested(slots: Workspace, words: list[str], meant: str) -> None:
    assert meant_slot(words) == meant


def test_suggestions_reach_the_screen(slots: Workspace, capfd) -> None:
    assert run(["data", "log", "plant-a/asrr"]) == 2
    assert "did you mean plant-a/asr?" in capfd.readouterr().err
    assert run(["data", "show", "plant-b/asr"]) == 1
    assert capfd.readouterr().err.endswith("\ndid you mean plant-a/asr?\n")
    assert nearest("retarin", ["retrain", "retire"]) == "retrain"


def test_help_shows_a_command_of_a_group(capfd) -> None:
    assert run(["help", "schedule", "add"]) == 0
    assert capfd.readouterr().out.startswith("Usage: elp schedule add")
    assert run(["help"]) == 0
    assert capfd.readouterr().out.startswith("Usage: elp [OPTIONS] COMMAND")
    assert run(["help", "nothing"]) == 2
    assert "unknown verb 'nothing'" in capfd.readouterr().err


def test_doctor_works_outside_a_workspace(tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    run(["doctor"])
    shown = capfd.readouterr()
    assert "elp init DIR" in shown.out
    assert "python" in shown.out
    assert shown.err == ""


def test_no_colour_is_written_if_nobody_wants_it(slots: Workspace, monkeypatch, capfd) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert run(["data", "show", "plant-b/asr"]) == 1
    assert "\x1b" not in capfd.readouterr().err
