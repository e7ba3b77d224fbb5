"""Make the golden workspace with an old release of ELP Foundry, shrink it, and pack it.

Run it with the Python of the old release's own virtual environment, as root (it needs a mount namespace):

    OLD/.venv/bin/python make_workspace.py OLD OUT

OLD is the checkout of the old release, OUT the folder that gets the archive and its facts. Signed records keep the
folder that a workspace was made in and the folder of the code. So that no path of the machine gets into them, the
script runs itself again in a mount namespace of its own, in which the workspace lies in /srv/elp-foundry/workspace and
the code in /srv/elp-foundry/code. Outside of the namespace /srv is not touched.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

RELEASE = "0.1.0"
PLACE = Path("/srv/elp-foundry")
CODE, WORKSPACE, INCOMING, HOME = (PLACE / name for name in ("code", "workspace", "incoming", "home"))
INSIDE = "ELP_GOLDEN_INSIDE"
MEMBER_TIME = 1_767_225_600
"""Every file in the archive gets this time: 2026-01-01."""

SETTINGS = """\
# A small workspace for tests. Adapters are tiny and train for two epochs, so that nearly every word is wrong;
# the limits are wide, so that two slots pass the gate all the same. The limit of call-b/asr is not: it fails.
backbone: "elp:tiny"
remote: ".elp/remote"
servers: {mlflow_port: 0, prefect_port: 0}
defaults:
  asr:
    adapter: {encoder: {bottleneck: 4}, layer: {width: 8}, prompt: {count: 1}}
    train: {epochs: 2, min_steps: 4, device: cpu}
    gate: {limit: 2.0, margin: 1.5, min_slice: 2, resamples: 500, safety: {max_slowdown: 100.0}}
    task: {width: 16, dilations: [1]}
  asv:
    adapter: {encoder: {bottleneck: 4}, layer: {width: 8}, prompt: {count: 1}}
    train: {epochs: 2, min_steps: 4, device: cpu}
    gate: {limit: 2.0, margin: 1.5, confidence: 0.8, min_slice: 6, resamples: 500,
      safety: {max_slowdown: 100.0, operating_margin: 1.0}}
    task: {embedding: 16}
slots:
  plant-a/asv:
    train: {seed: SEED}
  call-b/asr:
    gate: {limit: 0.3}
"""

REMOVED = (
    *(".elp/cache", ".elp/data-docs", ".elp/dvc", ".elp/locks", ".elp/logs", ".elp/prefect", ".elp/servers.json"),
    *(".elp/servers.lock", ".elp/ledger-head.json.lock", ".dvc/tmp"),
)
"""What the release makes again when it is missing."""


def main(old: Path, out: Path) -> None:
    """Start again in the namespace, or go through the steps if this is inside it already."""
    if os.environ.get(INSIDE) != "yes":
        _enter(old, out)
    os.environ["HOME"] = str(HOME)
    os.environ["PYTHONPATH"] = str(CODE)
    os.environ.update({"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "LC_ALL": "C.UTF-8", "DO_NOT_TRACK": "1"})
    for name in ("ELP_WORKSPACE", "ELP_KEYS", "ELP_LEDGER_HEAD", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        os.environ.pop(name, None)
    elp = Elp(old / ".venv" / "bin" / "elp")
    first, second, third = _deliveries()
    try:
        _live(elp, first, second, third)
        facts = _facts(elp)
    finally:
        elp("down", ok=(0, 1))
    _shrink()
    facts["archive"] = _pack(out / f"workspace-{RELEASE}.tar.xz")
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    (out / f"workspace-{RELEASE}.json").write_text(text, encoding="utf-8")


def _enter(old: Path, out: Path) -> None:
    """Replace this process by one in a mount namespace, with the neutral folders in it."""
    script, python = Path(__file__).resolve(), old.resolve() / ".venv" / "bin" / "python"
    commands = f"""
        set -e
        mount -t tmpfs golden /srv
        mkdir -p {CODE} {INCOMING} {HOME}
        mount --bind {old.resolve()} {CODE}
        cd {PLACE}
        exec {python} {script} {old.resolve()} {out.resolve()}
    """
    os.execvpe("unshare", ["unshare", "--mount", "sh", "-c", commands], {**os.environ, INSIDE: "yes"})


class Elp:
    """The old release's command line, in the workspace."""

    def __init__(self, program: Path) -> None:
        self._program = str(program)

    def __call__(self, *arguments: str, ok: Sequence[int] = (0,), where: Path = WORKSPACE) -> str:
        """Standard output of a command, whose exit code must be one of `ok`."""
        print("$ elp", *arguments, flush=True)
        done = subprocess.run([self._program, *arguments], cwd=where, stdout=subprocess.PIPE, text=True)
        print(done.stdout, f"-> {done.returncode}", sep="", flush=True)
        if done.returncode not in ok:
            raise SystemExit(f"elp {' '.join(arguments)} ended with {done.returncode}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The answer of a command with --json."""
        return json.loads(self(*arguments, "--json"))


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(WORKSPACE), *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _deliveries() -> tuple[Path, Path, Path]:
    """Two deliveries for plant-a and one for call-b, spoken by espeak-ng, each of some of the demo's speakers."""
    from pipelines.demo.corpus import SITES, DeliveryPlan, speakers, write_delivery

    def some(place: int, plan: DeliveryPlan, seed: int, train: slice, validation: int, test: int) -> Path:
        site = SITES[place]
        named = {split: [s.name for s in speakers(site) if s.split == split] for split in plan.splits}
        chosen = {*named["train"][train], *named.get("validation", [])[:validation], *named.get("test", [])[:test]}
        manifest = write_delivery(site, plan, INCOMING / site.name / plan.name, seed)
        rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
        rows = [row for row in rows if row["speaker"] in chosen]
        if place == 0 and plan.name == "first":
            rows += _bad_clips(manifest.parent, named["train"][0])
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return manifest

    return (
        some(0, DeliveryPlan("first", per_speaker=3), 0, slice(0, 4), 2, 6),
        some(0, DeliveryPlan("second", per_speaker=2, splits=("train",)), 1, slice(6, 9), 0, 0),
        some(1, DeliveryPlan("first", per_speaker=2), 10, slice(0, 3), 1, 2),
    )


def _bad_clips(folder: Path, speaker: str) -> list[dict[str, object]]:
    """Two clips that go to quarantine: digital silence, and one that is too short."""
    import numpy as np
    import soundfile

    made: list[dict[str, object]] = []
    wave = 0.3 * np.sin(np.arange(800) / 5)
    for name, samples in (("silent", np.zeros(8_000)), ("short", wave)):
        soundfile.write(folder / "audio" / f"{name}.wav", samples, 16_000, subtype="PCM_16")
        row: dict[str, object] = {"audio_filepath": f"audio/{name}.wav", "duration": len(samples) / 16_000}
        made.append({**row, "text": "stop pump one", "speaker": speaker, "split": "train", "synthetic": True})
    return made


def _live(elp: Elp, first: Path, second: Path, third: Path) -> None:
    """The life of the workspace, from `elp init` on."""
    (HOME / ".gitconfig").write_text("[user]\n\tname = Golden\n\temail = golden@example.org\n", encoding="utf-8")
    elp("init", str(WORKSPACE), where=PLACE)
    _git("config", "user.name", "Golden")
    _git("config", "user.email", "golden@example.org")
    _settle(0, "Settle what the golden workspace needs")
    elp("up")
    elp("retrain", "plant-a/asr", str(first))
    elp("promote", "plant-a/asr", "--by", "ann", "--why", "the first version")
    elp("retrain", "plant-a/asv", str(first))
    elp("promote", "plant-a/asv", "--by", "ann", "--why", "the first version")
    # from here on a newer key signs the verdicts; the older one is retired
    elp("keys", "rotate", "verdict")
    elp("retrain", "plant-a/asr", str(second))
    _settle(1, "Train plant-a/asv with another seed")
    elp("retrain", "plant-a/asv")
    elp("promote", "plant-a/asv", "--by", "bob", "--why", "another seed")
    elp("rollback", "plant-a/asv", "--by", "ann", "--why", "the first one served better")
    _settle(2, "Train plant-a/asv with a third seed")
    elp("train", "plant-a/asv")
    elp("retrain", "call-b/asr", str(third), ok=(3,))
    elp("promote", "call-b/asr", "--version", "1", "--by", "bob", "--why", "to see it refused", ok=(3,))
    dropped = json.loads(third.read_text(encoding="utf-8").splitlines()[0])["speaker"]
    elp("data", "drop", "call-b/asr", "--speaker", dropped)


def _settle(seed: int, message: str) -> None:
    (WORKSPACE / "elp.yaml").write_text(SETTINGS.replace("SEED", str(seed)), encoding="utf-8")
    _git("commit", "--quiet", "--message", message, "elp.yaml")


def _facts(elp: Elp) -> dict[str, Any]:
    """What holds of the workspace, from the release's own answers."""
    address = _address(elp)
    entries = list(_ledger(address))
    slots: dict[str, Any] = {}
    for name in ("call-b/asr", "plant-a/asr", "plant-a/asv"):
        versions = {
            str(v["version"]): {
                "status": v["status"],
                "verdict": v["tags"].get("elp.verdict", "not gated"),
                "aliases": sorted(v["aliases"]),
                "bundle": v["tags"]["elp.bundle"],
                "dataset": v["tags"]["elp.dataset"],
                "golden": v["tags"].get("elp.golden", ""),
                "training_key": v["tags"]["elp.key"],
            }
            for v in sorted(elp.json("adapters", name), key=lambda v: int(v["version"]))
        }
        champion = [int(n) for n, v in versions.items() if "champion" in v["aliases"]]
        challenger = [int(n) for n, v in versions.items() if "challenger" in v["aliases"]]
        slots[name] = {
            "model": "elp." + name.replace("/", "."),
            "champion": champion[0] if champion else None,
            "challenger": challenger[0] if challenger else None,
            "versions": versions,
            "dataset_tags": _git("tag", "--list", f"data/{name}/v*").split(),
            "golden_tags": _git("tag", "--list", f"golden/{name}/v*").split(),
            "speakers": _speakers(name),
            "quarantine": sorted(q["reason"] for q in elp.json("data", "quarantine", name)),
        }
    trusted = json.loads((WORKSPACE / ".elp/keys/trusted.json").read_text(encoding="utf-8"))
    return {
        "release": RELEASE,
        "revision": subprocess.run(
            ["git", "-C", str(CODE), "rev-parse", "HEAD"], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip(),
        "made_in": str(WORKSPACE),
        "head": _git("rev-parse", "HEAD").strip(),
        "slots": slots,
        "ledger": {
            "entries": len(entries),
            "head": entries[-1]["hash"],
            "events": [_event(entry) for entry in entries],
        },
        "anchor": json.loads((WORKSPACE / ".elp/ledger-head.json").read_text(encoding="utf-8")),
        "statements": _statements(address, [one["model"] for one in slots.values()]),
        "keys": [
            {"name": k["name"], "roles": k["roles"], "keyid": k["keyid"], "retired": bool(k["retired"])}
            for k in trusted["keys"]
        ],
    }


def _address(elp: Elp) -> str:
    record = json.loads((WORKSPACE / ".elp/servers.json").read_text(encoding="utf-8"))
    return next(str(p["address"]) for p in record["processes"] if p["name"] == "mlflow")


def _get(address: str) -> Any:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=30) as answer:
        return json.load(answer)


def _ledger(address: str) -> Iterator[Any]:
    after = 0
    while page := _get(f"{address}/elp/api/v1/ledger?after={after}&limit=1000")["entries"]:
        yield from page
        after = _payload(page[-1])["seq"]


def _payload(row: Any) -> Any:
    import base64

    envelope = row["envelope"]
    return json.loads(base64.b64decode((json.loads(envelope) if isinstance(envelope, str) else envelope)["payload"]))


def _event(row: Any) -> dict[str, Any]:
    entry = _payload(row)
    return {name: entry[name] for name in ("seq", "event", "slot", "from", "to")}


def _statements(address: str, models: Sequence[str]) -> dict[str, int]:
    answers = [_get(f"{address}/elp/api/v1/statements?model={model}") for model in models]
    kinds = sorted(one["kind"] for answer in answers for one in answer["statements"])
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def _speakers(slot: str) -> dict[str, list[str]]:
    """Speakers of the newest dataset version by split, from its shards."""
    import pyarrow.parquet as pq

    found: dict[str, set[str]] = {}
    for shard in sorted((WORKSPACE / "data" / slot / "shards").glob("*.parquet")):
        rows = pq.read_table(shard, columns=["split", "speaker"]).to_pylist()
        for row in rows:
            found.setdefault(row["split"], set()).add(row["speaker"])
    return {split: sorted(names) for split, names in sorted(found.items())}


def _shrink() -> None:
    """Remove what can be made again, and pack database and Git tightly."""
    for name in REMOVED:
        path = WORKSPACE / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for folder in WORKSPACE.rglob("__pycache__"):
        shutil.rmtree(folder)
    with closing(sqlite3.connect(WORKSPACE / ".elp/mlflow.db")) as db:
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute("VACUUM")
    _git("reflog", "expire", "--expire=now", "--all")
    _git("gc", "--quiet", "--aggressive", "--prune=now")
    shutil.rmtree(WORKSPACE / ".git/hooks", ignore_errors=True)
    shutil.rmtree(WORKSPACE / ".git/logs", ignore_errors=True)


def _pack(archive: Path) -> dict[str, Any]:
    """Pack the workspace: the same files always give the same bytes."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as packed:
        # files with one name end lie side by side, so that copies of a file are found as such
        for path in sorted(WORKSPACE.rglob("*"), key=lambda path: (path.suffix, path.name, str(path))):
            member = tarfile.TarInfo(path.relative_to(WORKSPACE).as_posix())
            member.mtime, member.mode = MEMBER_TIME, path.stat().st_mode & 0o777
            if path.is_dir():
                member.type = tarfile.DIRTYPE
                packed.addfile(member)
            else:
                content = path.read_bytes()
                member.size = len(content)
                packed.addfile(member, io.BytesIO(content))
    content = lzma.compress(target.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    archive.write_bytes(content)
    return {
        "file": archive.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "unpacked_bytes": sum(path.stat().st_size for path in WORKSPACE.rglob("*") if path.is_file()),
    }


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
