"""Debian's telephone prompts in other languages, from the packages to a champion at the real server.

    python benchmarks/prompt_sets.py FOLDER [--languages it,ru] [--workspace DIR] [--train YAML] [--markdown FILE]

FOLDER has the unpacked packages `asterisk-core-sounds-<language>-wav` (recordings) and
`asterisk-core-sounds-<language>` (the list of texts); `docs/reference/benchmarks.md` says how to get them. `--texts
FILE` is another list of texts, for one language. The script itself uses no network. It makes a workspace, starts its
servers, and then runs the commands that a user types: `elp data add`, `elp retrain`, `elp promote`, `elp audit`.

The embedded backbone was trained on these recordings, without their texts. One voice speaks each set, so that training
and golden set share it (a closed set). The figures show that the path works; they are no measure of recognition.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ELP = str(Path(sys.executable).with_name("elp"))
SOUNDS, TEXTS = "usr/share/asterisk/sounds", "usr/share/doc"
REFUSED = 3
"""Exit code of a run whose adapter the gate did not pass."""
HEADERS = ("slot", "golden set", "CER", "95 % interval", "WER", "verdict", "champion", "training")


@dataclass(frozen=True)
class PromptSet:
    """One language's recordings, and the list that has their texts."""

    language: str
    folder: Path
    texts: Path

    @property
    def slot(self) -> str:
        return f"prompts-{self.language}/asr"


def find_prompt_sets(root: Path, languages: list[str], texts: Path | None = None) -> list[PromptSet]:
    """Return the set of each language; the packages may be unpacked into one folder or side by side."""
    found = []
    for language in languages:
        # packages call their folders it_IT_m_Carlo: language, country, sex, name of the voice
        folders = sorted(root.glob(f"{SOUNDS}/{language}_*")) + sorted(root.glob(f"*/{SOUNDS}/{language}_*"))
        name = f"asterisk-core-sounds-{language}/core-sounds-{language}.txt*"
        lists = [texts] if texts else [*root.glob(f"{TEXTS}/{name}"), *root.glob(f"*/{TEXTS}/{name}")]
        if not folders or not lists:
            package = f"asterisk-core-sounds-{language}" + ("" if folders else "-wav")
            raise SystemExit(f"{root} has no {package}; get it: apt-get download {package}; dpkg-deb -x FILE {root}")
        found.append(PromptSet(language, folders[0], lists[0]))
    return found


def lay_out(prompts: PromptSet, folder: Path) -> Path:
    """Put the recordings and their list into one folder, as `elp data add` reads them; return it."""
    delivery = folder / prompts.folder.name
    shutil.copytree(prompts.folder, delivery)
    raw = prompts.texts.read_bytes()
    listing = gzip.decompress(raw) if prompts.texts.suffix == ".gz" else raw
    (delivery / f"core-sounds-{prompts.language}.txt").write_bytes(listing)
    return delivery


def settings_text(sets: list[PromptSet], train: str, limit: float) -> str:
    """Return `elp.yaml` for the slots of all sets."""
    lines = [
        "servers: {mlflow_port: 0, prefect_port: 0}",
        "defaults:",
        "  asr:",
        f"    train: {train}",
        f"    gate: {{metric: cer, limit: {limit}}}",
    ]
    # one voice: its clips are divided; the texts have stage directions in brackets
    lines += ["    data: {closed_set: true, split_by: clip, tags: remove, test_share: 0.2}", "slots:"]
    lines += [f"  {each.slot}: {{language: {{code: {each.language}, digits: spell}}}}" for each in sets]
    return "\n".join(lines) + "\n"


def elp(folder: Path, *arguments: str, refusal: bool = False) -> Any:
    """Run a command as a user does, show it, and return its JSON; `refusal` allows that the gate does not pass it."""
    print("$ elp", *arguments, flush=True)
    done = subprocess.run([ELP, *arguments, "--json"], cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in ((0, REFUSED) if refusal else (0,)):
        raise SystemExit(f"elp {' '.join(arguments)} ended with {done.returncode}")
    return json.loads(done.stdout)


def cells(prompts: PromptSet, outcome: dict[str, Any], versions: list[dict[str, Any]]) -> list[str]:
    """Return the row of one set from the outcome of its run, its evidence and the versions in the registry."""
    evidence = json.loads((Path(outcome["evidence"]) / "evidence.json").read_text(encoding="utf-8"))
    verdict, also = evidence["verdict"], evidence["context"]["challenger_also"]
    low, high = ("?" if bound is None else f"{max(0.0, bound):.1%}" for bound in verdict["challenger_interval"])
    champion = next((f"v{each['version']}" for each in versions if "champion" in each["aliases"]), "none")
    training = f"{outcome['training: train_seconds']:.0f} s, {outcome['training: train_epochs']:.0f} epochs"
    size = f"{verdict['clips']} clips, {also['characters']:.0f} characters, {also['words']:.0f} words"
    rates = f"{verdict['challenger']:.1%}", f"{low} … {high}", f"{also['wer']:.1%}"
    return [prompts.slot, size, *rates, verdict["outcome"], champion, training]


def measure(folder: Path, prompts: PromptSet) -> list[str]:
    """Take one set from its packages to a champion; return its row."""
    with tempfile.TemporaryDirectory() as parent:
        # some lists name recordings that the package has not; numbers that can be read in several ways stay out
        ways = "--option", "missing=skip", "--quarantine", "vocabulary"
        elp(folder, "data", "add", prompts.slot, str(lay_out(prompts, Path(parent))), *ways)
    outcome = elp(folder, "retrain", prompts.slot, refusal=True)["outcome"]
    if outcome["verdict"] == "passed":
        elp(folder, "promote", prompts.slot, "--reason", "first version, under the limit")
    elp(folder, "audit", prompts.slot, "--verify")
    return cells(prompts, outcome, elp(folder, "versions", prompts.slot))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the unpacked packages")
    parser.add_argument("--languages", default="it,ru", help="it, ru, fr, es or en, with commas [default: it,ru]")
    parser.add_argument("--texts", type=Path, help="another list of texts, for one language")
    parser.add_argument("--workspace", type=Path, help="keep the workspace in this new folder [default: none is kept]")
    parser.add_argument("--train", default="{}", metavar="YAML", help="settings of the training, such as {epochs: 40}")
    parser.add_argument("--limit", type=float, default=0.5, help="absolute limit of the CER [default: 0.5]")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    sets = find_prompt_sets(arguments.folder, arguments.languages.split(","), arguments.texts)
    for name in ("AUTHOR", "COMMITTER"):
        os.environ.update({f"GIT_{name}_NAME": "bench", f"GIT_{name}_EMAIL": "bench@example.org"})
    with tempfile.TemporaryDirectory() as parent:
        folder = (arguments.workspace or Path(parent) / "prompt-sets").resolve()
        subprocess.run([ELP, "init", str(folder)], check=True)
        (folder / "elp.yaml").write_text(settings_text(sets, arguments.train, arguments.limit), encoding="utf-8")
        subprocess.run(["git", "commit", "-qam", "Settings of the prompt sets"], cwd=folder, check=True)
        try:
            elp(folder, "up")
            rows = [measure(folder, prompts) for prompts in sets]
        finally:
            subprocess.run([ELP, "down"], cwd=folder, capture_output=True, check=False)
    lines = ["| " + " | ".join(HEADERS) + " |", "|" + "---|" * len(HEADERS)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines.append("\nThe backbone was trained on this sound, without its texts; one voice speaks each set (closed set).")
    print("\n".join(lines))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
