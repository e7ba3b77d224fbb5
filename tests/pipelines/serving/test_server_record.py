"""Several servers of one workspace, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipelines.serving.server_record import RECORD, read_servers, recorded_server

WITHOUT: dict[str, Any] = {"key": "", "source": "", "settings": "", "certificate": ""}
EARLIER = """
import sys
from pathlib import Path
from pipelines.serving.server_record import recorded_server
with recorded_server(Path(sys.argv[1]), "http://earlier", key="", source="", settings="", certificate=""):
    print("recorded", flush=True)
    sys.stdin.read()
"""


def test_an_earlier_server_is_found_when_a_later_one_has_ended(tmp_path: Path) -> None:
    def found() -> list[str]:
        return [one.address for one in read_servers(tmp_path)]

    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    earlier = subprocess.Popen([sys.executable, "-c", EARLIER, str(tmp_path)], **pipes)
    try:
        assert earlier.stdout.readline() == b"recorded\n"
        with recorded_server(tmp_path, "http://later", **WITHOUT):
            # this process began before the other one
            assert found() == ["http://earlier", "http://later"]
            assert "http://later" in (tmp_path / RECORD).read_text()
        assert found() == ["http://earlier"]
        assert "http://earlier" in (tmp_path / RECORD).read_text()
    finally:
        earlier.kill()
        earlier.communicate()
    assert found() == []
    # what a killed server has left is removed by the next one
    with recorded_server(tmp_path, "http://later", **WITHOUT):
        assert len(list((tmp_path / "serving" / "servers").iterdir())) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_damaged_record_is_no_server_and_in_nobodys_way(tmp_path: Path) -> None:
    with recorded_server(tmp_path, "http://here", **WITHOUT):
        [own] = (tmp_path / "serving" / "servers").iterdir()
        sound = json.loads(own.read_text())
        process = sound["process"]
        for values in (None, [], {}, {**sound, "process": []}, {**sound, "sites": 3}, {**sound, "other": 1}):
            _damage(tmp_path, json.dumps(values))
        for wrong in ({"pid": "1"}, {"pid": 10**30}, {"created": "x"}):
            _damage(tmp_path, json.dumps({**sound, "process": {**process, **wrong}}))
        for text in ("", json.dumps(sound)[:40], "[" * 100_000):
            _damage(tmp_path, text)


def _damage(state: Path, text: str) -> None:
    for path in ((state / RECORD), *(state / "serving" / "servers").iterdir()):
        path.write_text(text)
    assert read_servers(state) == [], text[:200]
