from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from elp_core.errors import ElpError
from pipelines.cli import main
from pipelines.cli.old_spellings import translate
from pipelines.errors import GateRefused, UsageError

GROUPS = [
    *("alerts", "api-keys", "backbone", "box", "data", "enrol", "erasure", "hold", "inbox", "keys", "requests"),
    *("root", "schedule", "users", "versions", "worker"),
]
NO_JSON = {"completion", "help"}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """`elp fail` raises what the test says."""

    def install(error: BaseException) -> None:
        @click.command()
        def fail() -> None:
            raise error

        module = types.ModuleType("pipelines.cli.stand_in")
        monkeypatch.setattr(module, "fail", fail, raising=False)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(main.VERBS, "Tests", {"fail": ("stand_in:fail", "fails")})

    return install


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ElpError("the thing broke; do this"), 1),
        (UsageError("wrong word"), 2),
        (GateRefused("not better"), 3),
        (KeyboardInterrupt(), 130),
        (ValueError("odd"), 1),
    ],
)
def test_every_error_ends_with_its_exit_code_and_no_traceback(failing, capfd, error, code) -> None:
    failing(error)
    assert main.run(["fail"]) == code
    shown = capfd.readouterr().err
    assert "Traceback" not in shown
    assert str(error) in shown


def test_debug_shows_the_traceback_wherever_it_stands(failing, capfd) -> None:
    failing(ElpError("broke"))
    assert main.run(["fail", "--debug"]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_a_missing_package_names_the_command_that_installs_it(failing, capfd) -> None:
    failing(ModuleNotFoundError("No module named 'mlflow.tracking'", name="mlflow.tracking"))
    assert main.run(["fail"]) == 1
    assert capfd.readouterr().err == (
        "error: the Python package mlflow.tracking is missing; "
        "install the operations part with: pip install 'elp-foundry[pipelines]'\n"
    )


def test_without_the_operations_part_elp_ends_with_one_sentence() -> None:
    code = "import sys; sys.modules['click'] = None; from pipelines.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: elp needs the Python package click, which is missing; "
        "install the operations part with: pip install 'elp-foundry[pipelines]'\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("run plant-a/asr x.wav", "predict plant-a/asr x.wav", "`elp run` is now `elp predict`"),
        ("adapters --json", "versions list --json", "`elp adapters` is now `elp versions list`"),
        ("versions a/asr", "versions list a/asr", "`elp versions` is now `elp versions list`"),
        ("versions", "versions list", "`elp versions` is now `elp versions list`"),
        ("versions list a/asr", "versions list a/asr", ""),
        ("versions -h", "versions -h", ""),
        ("forget --speaker ann", "erasure plan --speaker ann", "`elp forget` is now `elp erasure plan`"),
        ("rollback a/asr --why noise", "rollback a/asr --reason noise", "`--why` is now `--reason`"),
        ("retire a/asr --why=closed", "retire a/asr --reason=closed", "`--why` is now `--reason`"),
        ("schedule a/asr --cron x", "schedule add a/asr --cron x", "is now `elp schedule add SITE/TASK --cron`"),
        ("schedule --json list", "schedule list --json", ""),
        ("schedule", "schedule list", ""),
        ("schedule -w dir", "schedule list -w dir", ""),
        ("schedule pause all", "schedule pause all", ""),
        ("schedule --help", "schedule --help", ""),
        ("train --why", "train --why", ""),
    ],
)
def test_an_old_spelling_is_translated_and_names_the_new_one(capsys, old: str, new: str, note: str) -> None:
    assert translate(old.split()) == new.split()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == (1 if note else 0)
    assert note in shown.err


def test_an_old_spelling_runs_and_is_not_in_the_help(tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(["adapters", "--json"]) == 1
    assert capfd.readouterr().err.startswith(
        "note: `elp adapters` is now `elp versions list`; the old spelling ends with"
    )
    main.run(["--help"])
    assert "adapters  " not in capfd.readouterr().out


def test_an_unexpected_error_says_that_it_is_a_fault_of_the_program(failing, capfd) -> None:
    failing(RuntimeError("impossible"))
    main.run(["fail"])
    assert "unexpected RuntimeError: impossible" in capfd.readouterr().err


def test_a_full_disk_is_told_as_such(failing, capfd) -> None:
    failing(OSError(28, "No space left on device", "/data/x"))
    assert main.run(["fail"]) == 1
    assert "the disk is full at /data/x" in capfd.readouterr().err


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied", "/data/x"), OSError(30, "Read-only", "/data/x")]
)
def test_a_file_that_may_not_be_touched_is_no_fault_of_the_program(failing, capfd, error) -> None:
    failing(error)
    assert main.run(["fail"]) == 1
    shown = capfd.readouterr().err
    assert f"error: /data/x: {error.strerror}; check the owner and the permissions" in shown
    assert "fault of elp" not in shown


def test_an_unknown_verb_names_the_nearest(capfd) -> None:
    assert main.run(["retarin"]) == 2
    assert "did you mean: elp retrain" in capfd.readouterr().err


def test_help_groups_every_verb(capfd) -> None:
    assert main.run(["--help"]) == 0
    shown = capfd.readouterr().out
    assert all(f"{group}:" in shown for group in ("Setup", "Data", "Adapters", "Operations"))
    assert all(f"\n  {verb} " in shown for verb in main.verbs())


@pytest.mark.parametrize("verb", sorted(main.verbs()))
def test_every_verb_has_help_and_json(verb: str, capfd) -> None:
    assert main.run([verb, "--help"]) == 0
    shown = capfd.readouterr().out
    assert "Usage: elp" in shown
    if verb not in {*GROUPS, *NO_JSON}:
        assert "--json" in shown


def test_no_help_of_any_command_shows_a_range_without_bounds() -> None:
    def commands(parent: click.Context) -> Iterator[click.Context]:
        yield parent
        if isinstance(parent.command, click.Group):
            for name in parent.command.list_commands(parent):
                command = parent.command.get_command(parent, name)
                assert command
                yield from commands(click.Context(command, parent, name))

    shown = [one.command.get_help(one) for one in commands(click.Context(main.cli))]
    assert len(shown) > 80
    assert not [text for text in shown if "None]" in text or "None;" in text]


def test_outside_a_workspace_the_next_step_is_told(tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(["status"]) == 1
    assert "elp init DIR" in capfd.readouterr().err


def test_help_imports_no_large_package() -> None:
    code = "import sys; from pipelines.cli.main import run; run(['--help']); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "mlflow", "prefect", "great_expectations", "yaml"} & set(shown.split())


@pytest.mark.parametrize("group", GROUPS)
def test_no_line_of_a_groups_help_is_cut_short(capfd, monkeypatch, group) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main.run([group, "--help"]) == 0
    listed = capfd.readouterr().out.partition("Commands:")[2]
    assert listed.strip()
    assert "..." not in listed
