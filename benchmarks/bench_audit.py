"""Seconds for each answer of `elp audit` and `elp erasure plan` over 5,000 dataset versions and 5,000 adapters.

    python benchmarks/bench_audit.py [ADAPTERS]

Makes a workspace of 200 slots whose every version adds a shard of 20 clips (Git by fast-import, files straight into the
DVC remote), and a guarded registry with a signed lineage and a ledger entry for each adapter, every second one once
champion. Then times the whole command, process start included, after the index was built.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SLOTS, CLIPS, SPEAKERS, RUNS = 200, 20, 40, 5
ELP = [sys.executable, "-c", "from pipelines.cli.main import main; main()"]
FINGERPRINT = "sha256:" + "f" * 64


@dataclass(frozen=True)
class Version:
    """A dataset version of the benchmark."""

    slot: str
    number: int
    revision: str
    ids: str


def make_data(root: Path, each: int) -> list[Version]:
    """Commit, tag and store `each` versions of every slot; the workspace's DVC remote gets the files."""
    remote = root / ".elp" / "remote" / "files" / "md5"
    stream, made, marks = [], [], 0
    for site in range(SLOTS):
        slot, listing, ids = f"site-{site:03d}/asr", [], []
        golden = _store(remote, _listing([_shard(remote, slot, 0, "test")]), ".dir")
        for number in range(1, each + 1):
            listing.append(_shard(remote, slot, number, "train", ids))
            tracked = _store(remote, _listing(listing), ".dir")
            marks += 1
            files = {"dataset.json": json.dumps({"golden": f"golden/{slot}/v1", "created": "2026-01-01"})}
            files |= {f"{name}.dvc": _metafile(md5, name) for name, md5 in (("shards", tracked), ("golden", golden))}
            stream.append(_commit(marks, slot, files, parent=marks - 1))
            stream.append(_tag(f"data/{slot}/v{number}", marks))
            if number == 1:
                stream.append(_tag(f"golden/{slot}/v1", marks))
            digest = hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
            made.append(Version(slot, number, f":{marks}", f"sha256:{digest}"))
    marked = root / ".elp" / "marks"
    command = ["git", "-C", str(root), "fast-import", "--quiet", f"--export-marks={marked}"]
    subprocess.run(command, input="".join(stream).encode(), check=True)
    revisions = dict(line.split(" ") for line in marked.read_text().splitlines())
    return [Version(one.slot, one.number, revisions[one.revision], one.ids) for one in made]


def _shard(remote: Path, slot: str, number: int, split: str, ids: list[str] | None = None) -> tuple[str, str]:
    """Put a shard of clips into the remote, add its ids to `ids` and return its name and MD5."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from elp_core.data.corpus import SCHEMA

    rows = []
    for take in range(CLIPS):
        key = hashlib.sha256(f"{slot} {number} {take} {split}".encode()).hexdigest()
        texts = dict.fromkeys(("text", "label", "condition", "delivery"), "")
        speaker = f"{slot[:8]}-worker-{(number + take) % SPEAKERS}"
        rows.append({"id": key, "audio": {"bytes": b"x" * 100, "path": ""}, "duration": 1.0, "split": split, **texts})
        rows[-1] |= {"speaker": speaker, "source_rate": 16_000}
        rows[-1] |= dict.fromkeys(("rms_db", "peak", "clipping", "dc", "silence", "snr_db"), 0.0)
        if ids is not None:
            ids.append(key)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink)
    content = sink.getvalue().to_pybytes()
    return f"{hashlib.sha256(content).hexdigest()[:16]}.parquet", _store(remote, content)


def _listing(files: list[tuple[str, str]]) -> bytes:
    return json.dumps([{"md5": md5, "relpath": name} for name, md5 in sorted(files)]).encode()


def _store(remote: Path, content: bytes, suffix: str = "") -> str:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    place = remote / md5[:2] / (md5[2:] + suffix)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return md5 + suffix


def _metafile(md5: str, name: str) -> str:
    return f"outs:\n- md5: {md5}\n  hash: md5\n  path: {name}\n"


def _commit(mark: int, slot: str, files: dict[str, str], parent: int) -> str:
    who = "bench <bench@example.org> 1767225600 +0000"
    begins = f"from :{parent}\n" if parent else "from refs/heads/main^0\n"
    bodies = "".join(
        f"M 644 inline data/{slot}/{name}\ndata {len(text.encode())}\n{text}\n" for name, text in files.items()
    )
    return f"commit refs/heads/main\nmark :{mark}\ncommitter {who}\ndata 1\nx\n{begins}{bodies}\n"


def _tag(name: str, mark: int) -> str:
    return f"reset refs/tags/{name}\nfrom :{mark}\n\n"


def make_registry(database: str, versions: list[Version]) -> None:
    """Write a lineage statement and a ledger entry for each, every second one promoted, in one transaction."""
    from sqlalchemy import insert

    from pipelines.registry.ledger.entry import Principal
    from pipelines.registry.signing.envelope import sign
    from pipelines.registry.slot import Slot
    from pipelines.server.ledger import STATEMENTS
    from pipelines.server.stores.registry_store import GuardedStore

    store, who, champions = GuardedStore("elp+" + database), Principal("bench", False, ""), {}
    with store.locked() as transaction:
        for one in versions:
            slot = Slot.parse(one.slot)
            statement = _lineage(slot.model_name, one)
            envelope = sign(statement.payload, transaction.keys, "lineage")
            about = {"after": one.number, "bundle": statement.bundle, "statements": (envelope.digest,)}
            entry = transaction.append("registered", one.slot, who, **about)
            row = {"digest": envelope.digest, "seq": entry.seq, "kind": "lineage", "model": slot.model_name}
            row |= {"version": one.number, "bundle": statement.bundle, "fingerprint": FINGERPRINT, "outcome": ""}
            row |= {"dataset": statement.dataset, "keyid": envelope.keyid, "envelope": envelope.text, "at": entry.at}
            transaction.session.execute(insert(STATEMENTS).values(**row))
            if one.number % 2:
                transaction.append("promoted", one.slot, who, before=champions.get(one.slot), **about)
                champions[one.slot] = one.number


def _lineage(model: str, one: Version):
    from pipelines.registry.statements import LineageStatement, Material

    tag = f"data/{one.slot}/v{one.number}"
    digests = {
        "dataset": {"gitCommit": one.revision, "dvcMd5": "d" * 32},
        "clips": {"elpIds": one.ids.removeprefix("sha256:")},
        "golden": {"elpIds": "e" * 64},
        "backbone": {"elpFingerprint": "f" * 64},
        "code": {"elpCode": "c" * 64},
        "packages": {"elpLock": "b" * 64},
    }
    bundle = "sha256:" + hashlib.sha256(tag.encode()).hexdigest()
    return LineageStatement(
        model=model,
        bundle=bundle,
        files={"adapter_model.safetensors": "1" * 64, "lineage.json": "2" * 64},
        asked={"slot": one.slot, "dataset": tag, "golden": f"golden/{one.slot}/v1", "config": {}, "seed": 0},
        given={"key": tag, "training": {"clips": CLIPS * one.number, "seconds": 60.0}, "hardware": {}},
        materials=tuple(Material(name, digest, uri="elp:tiny") for name, digest in digests.items()),
        versions={"elp-foundry": "0.1.0"},
        run="r",
        finished="2026-01-01T00:00:00+00:00",
    )


def timed(root: Path, *words: str) -> Iterator[tuple[float, float]]:
    """Return wall seconds, and processor seconds without the server's, of `RUNS` turns of a whole command."""
    for _ in range(RUNS):
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*ELP, *words], cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"elp {' '.join(words)} ended with {done.returncode}\n{done.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        yield time.perf_counter() - started, sum(after[:2]) - sum(before[:2])


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from pipelines.local.git import git
    from pipelines.local.initialise import init_workspace
    from tests.support.guarded_server import guarded_server

    each = int(sys.argv[1]) // SLOTS if len(sys.argv) > 1 else 25
    for name in ("AUTHOR", "COMMITTER"):
        os.environ.update({f"GIT_{name}_NAME": "bench", f"GIT_{name}_EMAIL": "bench@example.org"})
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "server"
        os.environ.update(ELP_KEYS=str(folder / "keys"), ELP_LEDGER_CHECKPOINT=str(folder / "ledger-head.json"))
        root = init_workspace(Path(parent) / "site").root
        started = time.perf_counter()
        versions = make_data(root, each)
        git(root, "reset", "--quiet", "--hard")
        with guarded_server(folder) as server:
            make_registry(server.database, versions)
            (root / "elp.yaml").write_text(f"remote: .elp/remote\nservers: {{mlflow_uri: '{server.uri}'}}\n")
            print(f"{len(versions)} dataset versions and adapters made in {time.perf_counter() - started:.0f} s\n")
            report(root, versions[0].slot)


def report(root: Path, slot: str) -> None:
    """Build the index, then run every query."""
    clip = hashlib.sha256(f"{slot} 1 0 train".encode()).hexdigest()
    speaker = f"{slot[:8]}-worker-7"
    # the query that needs the whole index, with the digests of the clips used
    clock, processor = next(timed(root, "audit", "--speaker", speaker))
    print("| command | median s | max s | processor s |\n|---|---|---|---|")
    print(f"| the index, built at once | {clock:.1f} | | {processor:.1f} |")
    questions = [
        ("--help",),
        ("audit", slot),
        ("audit", slot, "1"),
        ("audit", "--at", "2030-01-01"),
        ("audit", "--backbone", "ffffffff"),
        ("audit", "--speaker", speaker),
        ("audit", slot, "--clip", clip),
        ("erasure", "plan", "--speaker", speaker),
    ]
    for words in questions:
        clocks, processors = zip(*timed(root, *words), strict=True)
        name, cpu = " ".join(words).replace(clip, clip[:8] + "…"), statistics.median(processors)
        print(f"| `elp {name}` | {statistics.median(clocks):.2f} | {max(clocks):.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    main()
