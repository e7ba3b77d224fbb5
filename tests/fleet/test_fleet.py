"""A company's fleet on one machine: control, database, object store, Git and three workers, each a host of its own."""

from __future__ import annotations

import configparser
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fleet.hosts import DISK, Host, network
from tests.fleet.services import (
    PASSWORD,
    STORE_PORT,
    let_in,
    start_database,
    start_git,
    start_store,
    store_environment,
)
from tests.support.workspaces import delivery

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1800)]

ADDRESSES = {
    "control": "10.77.0.10",
    "database": "10.77.0.11",
    "store": "10.77.0.12",
    "git": "10.77.0.13",
    "worker-1": "10.77.0.21",
    "worker-2": "10.77.0.22",
    "worker-3": "10.77.0.23",
}
WORKERS = ("worker-1", "worker-2", "worker-3")
WORKSPACE = DISK / "foundry"
SETTINGS = """
defaults:
  asr: {train: {epochs: 3, min_steps: 2}, gate: {limit: 50, margin: 1}}
slots:
  plant-b/asr: {train: {epochs: 60, patience: 0}}
"""
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
SERVERS = "servers:\n  workers: 0\n  together: 2\n"
"""No worker on the control host; a run takes one other along."""


@dataclass
class Fleet:
    """The hosts by name, and the commands of the control host."""

    hosts: dict[str, Host]
    git: str
    """Address of the workspace's repository."""

    @property
    def control(self) -> Host:
        return self.hosts["control"]

    def elp(self, *arguments: str, **options: Any) -> str:
        """What a command prints in the workspace of the control host."""
        return self.control.run("elp", "-w", str(WORKSPACE), *arguments, **options)

    def json(self, *arguments: str, **options: Any) -> Any:
        return json.loads(self.elp(*arguments, "--json", **options))

    @property
    def administrator(self) -> dict[str, str]:
        """The environment of the first administrator's commands."""
        login = configparser.ConfigParser(interpolation=None)
        login.read(self.control.folder / "foundry" / ".elp" / "auth" / "server.ini")
        admin = login["mlflow"]
        return {
            "MLFLOW_TRACKING_USERNAME": admin["admin_username"],
            "MLFLOW_TRACKING_PASSWORD": admin["admin_password"],
        }


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Everything up, three workers enrolled, and two slots with data."""
    with network(tmp_path_factory.mktemp("fleet"), ADDRESSES) as hosts:
        for host in hosts.values():
            name = "[user]\n\tname = Test\n\temail = test@example.org\n"
            (host.folder / ".gitconfig").write_text(name)
        start_database(hosts["database"], ("mlflow", "prefect"))
        start_store(hosts["store"], "speech")
        made = Fleet(hosts, start_git(hosts["git"], "speech.git"))
        for name in ("control", *WORKERS):
            let_in(hosts["git"], hosts[name])
            # the data of the slots; the artifacts' keys are on the control host only
            hosts[name].environment |= store_environment(hosts["store"])
        _set_up(made)
        for name in WORKERS:
            _enrol(made, hosts[name])
        try:
            yield made
        finally:
            made.elp("down", "--yes")


def _set_up(fleet: Fleet) -> None:
    control = fleet.control
    control.environment |= {"PGPASSWORD": PASSWORD}
    store = store_environment(fleet.hosts["store"])
    control.environment |= {
        "ELP_ARTIFACTS_ACCESS_KEY_ID": store["AWS_ACCESS_KEY_ID"],
        "ELP_ARTIFACTS_SECRET_ACCESS_KEY": store["AWS_SECRET_ACCESS_KEY"],
    }
    options = ["--git", fleet.git, "--remote", "s3://speech/foundry", "--host", control.address]
    options += ["--s3-endpoint", f"http://{ADDRESSES['store']}:{STORE_PORT}"]
    options += ["--postgres", f"postgresql://elp@{ADDRESSES['database']}:5432"]
    control.run("elp", "init", str(WORKSPACE), "--profile", "team", *options)
    with (control.folder / "foundry" / "elp.yaml").open("a") as file:
        file.write(SETTINGS)
    settings = control.folder / "foundry" / "elp.yaml"
    settings.write_text(settings.read_text().replace("servers:\n", SERVERS))
    control.run("git", "-C", str(WORKSPACE), "commit", "--quiet", "--all", "--message", "Set it up")
    control.run("git", "-C", str(WORKSPACE), "push", "--quiet", fleet.git, "HEAD:main")
    fleet.elp("up", "--auth")
    delivery(control.folder / "delivery")
    for slot in ("plant-a/asr", "plant-b/asr"):
        fleet.elp("data", "add", slot, str(DISK / "delivery"))


def _enrol(fleet: Fleet, worker: Host) -> None:
    token = fleet.json("worker", "invite", worker.name, **fleet.administrator)["token"]
    worker.run("elp", "worker", "enrol", f"http://{ADDRESSES['control']}:5000", "--token", token)
    worker.start("worker", "elp", "worker", "--cpu")


def _eventually(found: Callable[[], Any], seconds: float) -> Any:
    ends = time.monotonic() + seconds
    while not (result := found()) and time.monotonic() < ends:
        time.sleep(1)
    return result


def _training(fleet: Fleet) -> list[str]:
    """The workers on which a run's process is."""
    on = [name for name in WORKERS if fleet.hosts[name].process is not None]
    return [name for name in on if "quick_prefect engine" in fleet.hosts[name].run("ps", "-eo", "args")]


def _verified(fleet: Fleet) -> str:
    """The result of the check of every record, chain, signature and stored bundle."""
    return fleet.elp("audit", "--verify", timeout=600)


def _facts(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The names and values of an audit's tree."""
    yield tree["name"], tree["value"]
    for child in tree.get("children", ()):
        yield from _facts(child)


def test_no_host_sees_the_disk_of_another(fleet: Fleet) -> None:
    for host in fleet.hosts.values():
        (host.folder / f"only-on-{host.name}").touch()
    places = [str(DISK), "/dev/shm", "/run", "/tmp", "/var/tmp", "/etc", "/var/lib", "/root"]
    for host in fleet.hosts.values():
        seen = host.run("find", *places, "-xdev", "-name", "only-on-*").split()
        assert set(seen) == {str(DISK / f"only-on-{host.name}")}


def test_a_retrain_runs_on_hosts_that_share_four_addresses(fleet: Fleet) -> None:
    """A worker clones, reads the data by content, trains, signs with its own key, and judges."""
    done = fleet.json("retrain", "plant-a/asr")["outcome"]
    assert (done["version"], done["verdict"], done["first version"]) == (1, "passed", True)
    answer = json.dumps(fleet.json("audit", "plant-a/asr", "1"))
    assert fleet.git in answer
    for host in fleet.hosts.values():
        assert str(host.folder) not in answer
    assert str(WORKSPACE) not in answer
    # the keys of the control host signed neither
    own = {path.stem for path in (fleet.control.folder / "foundry" / ".elp" / "keys").rglob("*.pem")}
    assert own
    assert not any(f'"{key}"' in answer for key in own)
    fleet.elp("promote", "plant-a/asr", **fleet.administrator)
    _verified(fleet)


def test_clones_and_caches_may_be_deleted_between_runs(fleet: Fleet) -> None:
    for name in WORKERS:
        home = fleet.hosts[name].folder / ".local" / "state" / "elp-worker"
        assert home.is_dir()
        for folder in ("clones", "cache"):
            shutil.rmtree(home / folder, ignore_errors=True)
    done = fleet.json("retrain", "plant-a/asr")["outcome"]
    assert (done["version"], done["reused"]) == (1, True)


def test_the_run_of_a_host_that_loses_its_power_continues_on_another(fleet: Fleet) -> None:
    """Nobody does anything: the reaper finds the run, another worker trains it, and it has one version."""
    fleet.elp("retrain", "plant-b/asr", "--detach")
    assert _eventually(lambda: _training(fleet), 120), "no worker took the run"
    # it has opened the workspace and begun to train
    time.sleep(5)
    (lost,) = _training(fleet)
    fleet.hosts[lost].switch_off()
    cut = time.monotonic()
    assert _eventually(lambda: _training(fleet), 240), fleet.elp("runs")
    print(f"\nthe run was on another host {time.monotonic() - cut:.0f} s after the power was cut")

    def completed() -> bool:
        return fleet.json("runs", "plant-b/asr")[0]["state_type"] == "COMPLETED"

    assert _eventually(completed, 300), fleet.elp("runs")
    assert len(fleet.json("versions", "plant-b/asr")) == 1
    _verified(fleet)


def test_a_host_that_comes_back_works_again(fleet: Fleet) -> None:
    (lost,) = [fleet.hosts[name] for name in WORKERS if fleet.hosts[name].process is None]
    lost.switch_on()
    for name in WORKERS:
        if name != lost.name:
            fleet.hosts[name].switch_off()
    lost.start("worker", "elp", "worker", "--cpu")
    done = fleet.json("retrain", "plant-b/asr", timeout=600)["outcome"]
    assert (done["version"], done["reused"]) == (1, True)


def test_slots_that_are_due_together_are_trained_in_one_pass_on_one_host(fleet: Fleet) -> None:
    """Two runs wait until a worker comes: it trains both slots in one process, each with a version of its own."""
    worker, *others = [fleet.hosts[name] for name in WORKERS if fleet.hosts[name].process is not None]
    for host in (worker, *others):
        host.switch_off()
    slots = ("plant-c/asr", "plant-d/asr")
    for number, slot in enumerate(slots):
        delivery(fleet.control.folder / slot, takes=(10 + number, 20 + number))
        fleet.elp("data", "add", slot, str(DISK / slot))
    for slot in slots:
        fleet.elp("retrain", slot, "--detach")
    worker.switch_on()
    worker.start("worker", "elp", "worker", "--cpu")

    def runs() -> dict[str, Any]:
        return {slot: fleet.json("runs", slot)[0] for slot in slots}

    states = _eventually(
        lambda: (now := runs()) and all(one["state_type"] in ENDED for one in now.values()) and now, 600
    )
    assert states, fleet.elp("runs")
    assert {one["state_type"] for one in states.values()} == {"COMPLETED"}
    keys = set()
    for slot, other in (slots, slots[::-1]):
        said = fleet.elp("logs", states[slot]["id"])
        assert "training in one pass: " in said
        assert f"registered {slot} v1" in said
        (version,) = fleet.json("versions", slot)
        assert version["version"] == 1
        answer = fleet.json("audit", slot, "1")
        facts = dict(_facts(answer))
        assert facts["in one pass with"] == other
        assert facts["Prefect flow run"] == states[slot]["id"]
        keys.add(facts["training key"])
        assert fleet.git in json.dumps(answer)
        assert not any(str(place) in json.dumps(answer) for place in (worker.folder, fleet.control.folder, WORKSPACE))
    assert len(keys) == 2
    _verified(fleet)
