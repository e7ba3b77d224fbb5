"""The first hour of a newcomer, with time stamps: from a fresh clone to a promoted adapter, a schedule and an alert.

    python benchmarks/newcomer_walk.py [--keep DIR] [--fsdd PATH]

Clones this checkout into a folder whose name has a blank, installs it there, and runs the commands of the tutorial
"Your first adapter" in a new HOME, with its default settings, on recordings of the Free Spoken Digit Dataset in the
form that the tutorial shows (numbered files and a table). Before the last command it sets a schedule that fires within
two minutes, adds a webhook, and retrains with a broken table, so that an alert arrives.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.docs.pages import fences  # noqa: E402
from tests.support.receivers import Receiver, http_receiver  # noqa: E402

PAGE = "first-adapter.md"
TAKES = 10
"""Recordings of each word by each person, as in the tutorial: 600 in all."""
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Walk:
    """The steps and when each one ended."""

    def __init__(self) -> None:
        """Begin now."""
        self.started = time.monotonic()
        self.rows: list[tuple[float, str]] = []

    def done(self, what: str) -> None:
        """Note the end of a step."""
        minutes = (time.monotonic() - self.started) / 60
        self.rows.append((minutes, what))
        print(f"{minutes:5.1f} min  {what}", flush=True)


def shell(line: str, cwd: Path, home: Path, expected: int = 0) -> str:
    """Run a line as a reader does; end the walk if its exit code is another one."""
    bin_folder = home.parent / "elp-foundry" / ".venv" / "bin"
    kept = {name: os.environ[name] for name in ("LANG", "TERM", "TMPDIR") if name in os.environ}
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    environment = {**kept, **pip, "HOME": str(home), "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", line], cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != expected:
        raise SystemExit(f"$ {line}\n{done.stdout}{done.stderr}\nexit code {done.returncode}, expected {expected}")
    return done.stdout + done.stderr


def recordings(fsdd: Path, folder: Path) -> int:
    """Write the folder of the tutorial: numbered files, and a table as a spreadsheet saves it; return their number."""
    folder.mkdir()
    rows = ["Recording;Words;Person"]
    with tarfile.open(fsdd) as archive:
        for member in archive:
            found = re.fullmatch(r"(\d)_([a-z]+)_(\d+)\.wav", Path(member.name).name)
            if found and int(found[3]) < TAKES and (stream := archive.extractfile(member)):
                name = f"rec{len(rows):04}.wav"
                (folder / name).write_bytes(stream.read())
                rows.append(f"{name};{DIGITS[int(found[1])]};{found[2]}")
    (folder / "list.csv").write_text("\r\n".join(rows) + "\r\n", encoding="utf-8-sig")
    return len(rows) - 1


@contextmanager
def servers_ended(workspace: Path, home: Path) -> Iterator[None]:
    """Stop the servers whatever happens."""
    try:
        yield
    finally:
        if workspace.exists():
            shell("elp down --yes", workspace, home)


def tutorial(walk: Walk, top: Path, home: Path, before_end: Callable[[Path], None]) -> None:
    """Run the commands of the tutorial in their order."""
    lines = [line for fence in fences("sh") if fence.page == PAGE for line in fence.commands]
    (declared,) = [yaml.safe_load(fence.text) for fence in fences("yaml") if fence.page == PAGE]
    workspace = top / "foundry"
    for line in lines:
        if line.startswith("cd "):
            continue
        if line.startswith("git add"):
            # free ports: this machine may have servers on the usual ones
            settings = {"servers": {"mlflow_port": 0, "prefect_port": 0}, **declared}
            (workspace / "elp.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        if line == "elp down":
            before_end(workspace)
        shown = shell(line, workspace if workspace.exists() else top, home)
        walk.done(line)
        if line.startswith(("elp retrain", "elp predict")):
            print("\n".join(f"           {row}" for row in shown.strip().splitlines()[-12:]), flush=True)


def schedule_and_alert(walk: Walk, workspace: Path, home: Path, hook: Receiver) -> None:
    """Set a schedule and see it fire; add a webhook and get an alert about a run that fails."""
    shell('elp schedule add plant-a/asr --cron "*/2 * * * *"', workspace, home)
    walk.done("scheduled")
    shell(f"elp alerts add --webhook {hook.url}", workspace, home)
    wait(lambda: any("test message" in message["title"] for message in hook.got), "the test message")
    walk.done("test message received")
    (workspace.parent / "broken.csv").write_text("Recording;Words\nrec9999.wav;open\n", encoding="utf-8")
    shell("elp retrain plant-a/asr ../broken.csv", workspace, home, expected=1)
    wait(lambda: any("failed" in message["title"] for message in hook.got), "the alert")
    walk.done(f"alert received: {hook.got[-1]['title']}")
    runs = "elp runs plant-a/asr --json"
    wait(lambda: _scheduled(json.loads(shell(runs, workspace, home).strip())), "the scheduled run")
    walk.done("the schedule has fired, and its run has ended")


def _scheduled(runs: list[dict[str, object]]) -> bool:
    # two runs by hand; nothing is new for the third
    return len([run for run in runs if run["state"] in ("Completed", "Failed", "Undecided")]) >= 3


def wait(found: Callable[[], bool], what: str) -> None:
    """Wait for something, at most ten minutes."""
    end = time.monotonic() + 600
    while not found():
        if time.monotonic() > end:
            raise SystemExit(f"{what} has not come within ten minutes")
        time.sleep(1)


def main() -> None:
    """Walk, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="a new folder for the clone and the workspace, which then stay")
    parser.add_argument("--fsdd", type=Path, default=ROOT.parent / "shared" / "data" / "fsdd.tar.gz")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, http_receiver() as hook:
        top = given.keep or Path(temporary) / "new comer"
        home = top / "home"
        home.mkdir(parents=True)
        (home / ".gitconfig").write_text("[user]\n\tname = A newcomer\n\temail = newcomer@example.org\n")
        count = recordings(given.fsdd, top / "recordings")
        walk = Walk()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(top / "elp-foundry")], check=True)
        walk.done("cloned")
        shell("make setup", top / "elp-foundry", home)
        walk.done("make setup")
        with servers_ended(top / "foundry", home):
            tutorial(walk, top, home, lambda workspace: schedule_and_alert(walk, workspace, home, hook))
        print(f"\n{count} recordings\n\n| minutes | step |\n|---|---|")
        for minutes, what in walk.rows:
            print(f"| {minutes:.1f} | {f'`{what}`' if what.startswith(('elp ', 'git ', 'make ')) else what} |")


if __name__ == "__main__":
    main()
