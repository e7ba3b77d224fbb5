"""A server with the part of Prefect's REST API that the reaper uses, and its rule about ended runs."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")
_AT = "2026-01-01T00:00:00+00:00"


class PretendedPrefect:
    """Runs, their states and tasks, workers and heartbeats, as the API shows them."""

    def __init__(self) -> None:
        self.api = ""
        self.runs: dict[str, dict[str, Any]] = {}
        self.states: dict[str, list[dict[str, Any]]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.workers: dict[str, str] = {}
        """Those of the pool elp-gpu, and when each reported last; there is no other pool."""
        self.offline: set[str] = set()
        self.heartbeats: list[tuple[str, str]] = []
        self.away = False
        self.ahead = 0.0
        """So many seconds its clock is ahead of this machine's."""
        self._ids = itertools.count(1)

    def add(self, name: str, state: str, worker: str = "line-4", **more: Any) -> None:
        """Add a run in a state."""
        self.runs[name] = {
            "id": name, "name": f"retrain {name}", "tags": ["elp", "plant", "plant-a/asr"], "deployment_id": "d",
            "labels": {"prefect.worker.name": worker}, "work_pool_name": "elp-gpu", "infrastructure_pid": None,
            "run_count": 1, **more,
        }  # fmt: skip
        self.states[name] = []
        self.set(name, {"type": state})

    def set(self, name: str, state: dict[str, Any]) -> None:
        """Give a run a new state."""
        full = {"message": "", "timestamp": _AT, **state, "id": f"state-{next(self._ids)}"}
        self.states[name].append(full)
        self.runs[name] |= {"state": full, "state_type": full["type"]}

    def answer(self, path: str, query: dict[str, list[str]], body: Any) -> Any:
        """Return the JSON of the answer, None for one that is not found."""
        parts = path.strip("/").split("/")[1:]
        match parts:
            case ["health"]:
                return True
            case ["flow_runs", "filter"]:
                wanted = body["flow_runs"]["state"]
                names, types = wanted.get("name", {}).get("any_"), wanted.get("type", {}).get("any_")
                ids = body["flow_runs"].get("id", {}).get("any_")
                tags = set(body["flow_runs"].get("tags", {}).get("all_", ()))
                return [
                    run
                    for run in self.runs.values()
                    if (ids is None or run["id"] in ids)
                    and (types is None or run["state_type"] in types)
                    and (names is None or run["state"].get("name") in names)
                    and tags <= set(run["tags"])
                ]
            case ["flow_runs", name]:
                return self.runs.get(name)
            case ["flow_runs", name, "set_state"]:
                ended = self.runs[name]["state_type"] in _ENDED
                if ended and body["state"]["type"] == "CRASHED" and not body.get("force"):
                    return {"status": "ABORT"}
                self.set(name, body["state"])
                return {"status": "ACCEPT"}
            case ["flow_run_states"]:
                return self.states[query["flow_run_id"][0]]
            case ["task_runs", "filter"]:
                (run,) = body["flow_runs"]["id"]["any_"]
                open_ = body["task_runs"]["state"]["type"]["any_"]
                found = [task for task in self.tasks.values() if task["run"] == run and task["state_type"] in open_]
                return found[body["offset"] :][: body["limit"]]
            case ["task_runs", name, "set_state"]:
                self.tasks[name]["state_type"] = body["state"]["type"]
                return {"status": "ACCEPT"}
            case ["work_pools", "elp-gpu", "workers", "filter"]:
                return [
                    {"id": name, "name": name, "last_heartbeat_time": at,
                     "status": "OFFLINE" if name in self.offline else "ONLINE"}
                    for name, at in self.workers.items()
                ]  # fmt: skip
            case ["events", "filter"]:
                ids = body["filter"]["resource"]["id"]
                found = [(run, beat) for run, beat in self.heartbeats if f"prefect.flow-run.{run}" in ids]
                resource = [
                    {"id": beat, "resource": {"prefect.resource.id": f"prefect.flow-run.{r}"}} for r, beat in found
                ]
                return {"events": resource[::-1][: body["limit"]]}
        return None


@contextlib.contextmanager
def pretended_prefect() -> Iterator[PretendedPrefect]:
    """Serve one while the block runs."""
    prefect = PretendedPrefect()

    def answer(path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        found = prefect.answer(path, query, body)
        return 503 if prefect.away else 404 if found is None else 200, found

    with answering(answer, lambda: prefect.ahead) as prefect.api:
        yield prefect


@contextlib.contextmanager
def answering(
    answer: Callable[[str, dict[str, list[str]], Any], tuple[int, Any]], ahead: Callable[[], float] = lambda: 0.0
) -> Iterator[str]:
    """Serve JSON while the block runs: `answer` gives status and content for a path, a query and a body.

    The clock of the server is `ahead` of this machine's.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def do_PATCH(self) -> None:
            self.do_POST()

        def do_GET(self) -> None:
            self.respond(None)

        def do_DELETE(self) -> None:
            self.respond(None)

        def respond(self, body: Any) -> None:
            url = urlsplit(self.path)
            status, content = answer(url.path, parse_qs(url.query), body)
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(int(time.time() + ahead()) if timestamp is None else int(timestamp))

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
        server.shutdown()
