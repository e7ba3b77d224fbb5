"""Debian's prompt sets, in small: a tree with the layout of the unpacked packages, spoken by espeak-ng."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile as sf

from elp_core.types import SAMPLE_RATE
from pipelines.demo.espeak import Synthesiser

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "prompt_sets.py"
TEXTS = {
    "; Core Asterisk Sounds in Italian": "",
    "activated": "Attivato.",
    "digits/1": "uno",
    "digits/2": "due",
    "digits/h-12": "dodicesimo",
    "dir-instr": "Se questa è la persona prema 1",
    "letters/at": "a [@]",
    "silence/1": "(1 secondo di silenzio)",
    "vm-goodbye": "Arrivederci",
    **{f"digits/{name}": name for name in ("tre", "quattro", "cinque", "sei", "sette", "otto", "nove", "dieci")},
    **{f"letters/{name}": name for name in ("acca", "effe", "elle", "emme", "enne", "erre", "esse", "zeta")},
}


def packages(root: Path) -> Path:
    """The sounds and the list of one voice, as `dpkg-deb -x` leaves them."""
    sounds, lists = (root / "usr/share" / place for place in ("asterisk/sounds", "doc/asterisk-core-sounds-it"))
    lists.mkdir(parents=True)
    synthesiser = Synthesiser()
    for name, text in TEXTS.items():
        if text:
            wave = synthesiser.say(text, "it+m1", rate=150, pitch=40, pitch_range=50)
            path = sounds / "it_IT_m_Carlo" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, wave[::2], SAMPLE_RATE // 2, subtype="PCM_16")
    lines = "".join(f"{name}: {text}\n" if text else f"{name}\n" for name, text in TEXTS.items())
    lines += "conf-mute: un testo senza voce\n"
    (lists / "core-sounds-it.txt.gz").write_bytes(gzip.compress(("\ufeff" + lines).encode()))
    return root


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_a_prompt_set_becomes_a_champion(tmp_path: Path) -> None:
    table = tmp_path / "table.md"
    train = "{epochs: 1, min_steps: 2, device: cpu}"
    arguments = ["--languages", "it", "--train", train, "--limit", "2.0", "--markdown", str(table)]
    done = run(str(packages(tmp_path / "packages")), *arguments)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "$ elp promote prompts-it/asr" in done.stdout
    header, _, row, _, note = table.read_text(encoding="utf-8").splitlines()
    cells = dict(zip(header.split(" | "), row.split(" | "), strict=True))
    assert (cells["verdict"], cells["champion"]) == ("passed", "v1")
    assert "The backbone was trained on this sound" in note


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    done = run(str(tmp_path), "--languages", "it")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no asterisk-core-sounds-it-wav; get it: apt-get download asterisk-core-sounds-it-wav" in done.stderr
