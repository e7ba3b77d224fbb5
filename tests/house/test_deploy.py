"""The image, the compose file and the unit of `deploy/`, without Docker: what they run works, what they say holds.

The image itself is not built here: that needs a daemon and a base image.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from packaging.specifiers import SpecifierSet

from pipelines.cli.main import cli
from pipelines.local.worker_home import WorkerSettings, write_worker
from pipelines.orchestration.quick_prefect import ENGINE

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "how-to" / "containers.md").read_text("utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
FLEET = yaml.safe_load((DEPLOY / "fleet.yaml").read_text("utf-8"))
UNITS = ("elp-control.service", "elp-foundry.service", "elp-worker.service")
SERVICE_KEYS = {
    "build", "cap_drop", "command", "environment", "healthcheck", "image", "ports", "restart", "security_opt",
    "stop_grace_period", "volumes",
}  # fmt: skip
"""Keys of the Compose specification that a service here has."""


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with its arguments; continued lines are joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.M)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line.strip())]


def of(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def _accepted(words: list[str]) -> None:
    """The command line knows this verb of `elp` and its options."""
    command: click.Command | None
    context = cli.make_context("elp", words)
    name, command, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    while isinstance(command, click.Group):
        context = command.make_context(name, list(rest), parent=context)
        if not context._protected_args and not context.args:
            # the command itself does something, and it has parsed its options
            assert command.invoke_without_command
            return
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("-")} <= known


def test_the_image_runs_as_a_user_without_rights_from_pinned_packages() -> None:
    names = [name for name, _ in instructions()]
    assert names[0] == "FROM"
    (base,) = of("FROM")
    release = re.fullmatch(r"python:(3\.\d+)-slim-\w+", base)
    assert release is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert SpecifierSet(project["requires-python"]).contains(release[1])
    assert of("USER") == ["elp"]
    # nothing is installed after the rights are given up, and nothing but the wheel and the pins gets in
    assert names.index("USER") > max(place for place, name in enumerate(names) if name == "RUN")
    assert of("COPY") == ["constraints.txt elp_foundry-*.whl /dist/"]
    installs = [line for line in of("RUN") if "pip install" in line]
    assert len(installs) == 2
    assert all("--no-cache-dir" in line and "--constraint /dist/constraints.txt" in line for line in installs)
    packages = next(line for line in of("RUN") if "apt-get" in line)
    assert "--no-install-recommends" in packages
    assert "rm -rf /var/lib/apt/lists/*" in packages


def test_nothing_secret_is_in_the_files() -> None:
    files = {
        path.relative_to(DEPLOY).as_posix(): path.read_text("utf-8") for path in DEPLOY.rglob("*.*") if path.is_file()
    }
    text = "".join(files.values()) + (DEPLOY / "Dockerfile").read_text("utf-8")
    # a volume of Kubernetes has the type `secret`, and a pod gets no token
    assert not re.search(r"(?i)password\s*[=:]|token\s*[=:](?! false)|secret\s*[=:] *[^\s{]|BEGIN .*KEY", text)
    assert files.keys() == {
        "compose.yaml", "fleet.yaml", "git.Dockerfile", *UNITS, "kubernetes/worker.yaml",
        "kubernetes/job-template.json", "grafana/elp-dashboard.json",
    }  # fmt: skip


def test_the_commands_of_the_image_exist() -> None:
    entry, command = (yaml.safe_load(of(name)[0]) for name in ("ENTRYPOINT", "CMD"))
    assert entry == ["elp"]
    assert "elp" in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    _accepted(command)
    health = yaml.safe_load(of("HEALTHCHECK")[0].partition("CMD ")[2])
    assert health[0] == "elp"
    _accepted(health[1:])


def test_the_compose_file_has_one_service_that_only_this_machine_reaches() -> None:
    assert COMPOSE.keys() == {"name", "services", "volumes"}
    ((name, service),) = COMPOSE["services"].items()
    assert name == "foundry"
    assert service.keys() == SERVICE_KEYS
    ports = [port.split(":") for port in service["ports"]]
    assert all(host == "127.0.0.1" and outside == inside for host, outside, inside in ports)
    exposed = " ".join(of("EXPOSE")).split()
    assert {inside for *_, inside in ports} <= {*exposed}
    named, bound = service["volumes"]
    assert named == "workspace:/workspace"
    assert COMPOSE["volumes"].keys() == {"workspace"}
    assert bound.endswith(":/recordings:ro")
    assert [named.partition(":")[2]] == of("WORKDIR") == of("VOLUME")
    _accepted(service["command"])
    assert service["healthcheck"]["test"] == ["CMD", *yaml.safe_load(of("HEALTHCHECK")[0].partition("CMD ")[2])]
    for key in ("interval", "timeout", "start_period"):
        assert re.fullmatch(r"\d+s", service["healthcheck"][key])
    # the time that `elp down` may take: the workers, the supervision and the servers, each 8 seconds and then by force
    assert int(service["stop_grace_period"].removesuffix("s")) >= 50
    build = service["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert service["cap_drop"] == ["ALL"]


def test_the_page_shows_commands_of_the_service_that_exist() -> None:
    shown = re.findall(r"docker compose --file (\S+) (?:run --rm|exec) foundry (.+)", PAGE)
    assert len(shown) == 3
    for file, words in shown:
        assert (ROOT / file).is_file()
        _accepted(words.removeprefix("elp ").split())
    assert "The\nimage itself is not built by the tests" in PAGE.replace("**", "")


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_lets_elp_end_the_services_in_their_order(name: str) -> None:
    lines = (DEPLOY / name).read_text("utf-8").splitlines()
    assert "KillMode=mixed" in lines
    assert "TimeoutStopSec=60" in lines
    (command,) = [line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart=")]
    _accepted(command.split()[1:])
    assert "User=elp" in lines
    # a file that is missing is no fault
    assert all(line.split("=")[1].startswith("-/etc/elp/") for line in lines if line.startswith("EnvironmentFile"))


def test_the_folder_of_the_worker_s_unit_is_the_one_of_its_command() -> None:
    unit = (DEPLOY / "elp-worker.service").read_text("utf-8")
    (folder,) = re.findall(r"^StateDirectory=(.+)$", unit, re.M)
    assert f"--home /var/lib/{folder}" in unit
    assert "StateDirectoryMode=0700" in unit
    assert "\nPrivateTmp" not in unit, "the locks of the GPUs are shared by all workers of the machine"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_unit(name: str, tmp_path: Path) -> None:
    unit = (DEPLOY / name).read_text("utf-8")
    command = re.search(r"^ExecStart=(\S+) (.+)$", unit, re.M)
    assert command is not None
    copy = tmp_path / name
    # it checks that the command and the user exist on this machine
    copy.write_text(unit.replace(command[1], f'"{sys.executable}"').replace("User=elp", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if name.removesuffix(".service") in line]
    assert ours == []


@pytest.mark.integration
def test_the_worker_s_unit_starts_what_ends_at_sigterm(tmp_path: Path) -> None:
    """What ExecStart runs, without systemd: it says what is missing before the enrolment, and then obeys SIGTERM."""
    unit = (DEPLOY / "elp-worker.service").read_text("utf-8")
    (words,) = re.findall(r"^ExecStart=\S+ (.+)$", unit, re.M)
    home = tmp_path / "home"
    command = [sys.executable, "-m", "pipelines.cli.main", *words.replace("/var/lib/elp-worker", str(home)).split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ELP_TEST_GPUS": "GPU-a:8"}
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1
    assert "elp worker invite" in refused.stderr
    # no server answers at this address: the worker waits for it
    write_worker(home, WorkerSettings("host", "http://127.0.0.1:9/api", "http://127.0.0.1:9"))
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        assert re.search(r"Prefect .*; trying again$", process.stdout.readline())
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_every_role_s_file_is_on_the_page() -> None:
    table = PAGE.partition("## The files of each role")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:deploy|mlflow)/[\w./-]+)`", table)
    assert all((ROOT / name).is_file() for name in named)
    folders = (DEPLOY, ROOT / "mlflow")
    files = {path.relative_to(ROOT).as_posix() for one in folders for path in one.iterdir() if path.is_file()}
    assert files == set(named)


def test_the_roles_of_a_fleet_have_profiles_and_known_commands() -> None:
    services = FLEET["services"]
    assert {name: service["profiles"] for name, service in services.items()} == {
        "control": ["control"], "postgres": ["control"], "store": ["control"], "git": ["control"],
        "worker": ["worker"], "worker-gpu": ["worker-gpu"],
    }  # fmt: skip
    for name in ("control", "worker", "worker-gpu"):
        _accepted(services[name]["command"])
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["stop_grace_period"] == "60s"
        assert f"ARG {next(iter(services[name]['build']['args']))}=" in (DEPLOY / "Dockerfile").read_text("utf-8")
    (device,) = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    # only this machine reaches them unless somebody names another address
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert all(port.startswith("${ELP_LISTEN:-127.0.0.1}:") for port in ports)
    mounts = [volume for service in services.values() for volume in service.get("volumes", [])]
    used = {re.sub(r"\$\{\w+:-(.*?)\}", r"\1", mount).partition(":")[0] for mount in mounts}
    assert {name for name in used if not name.startswith((".", "/"))} == FLEET["volumes"].keys()
    # the image's own asks about the servers of a workspace, and a worker has none
    assert {services[name]["healthcheck"]["disable"] for name in ("worker", "worker-gpu")} == {True}
    # a volume has the owner of the image's folder; a folder that Docker makes belongs to root
    (locks,) = (mount.rpartition(":")[2] for mount in services["worker-gpu"]["volumes"] if "gpu-locks" in mount)
    assert locks == services["worker-gpu"]["environment"]["ELP_GPU_LOCKS"]
    assert locks in (DEPLOY / "Dockerfile").read_text("utf-8")
    assert {name for service in services.values() for name in service.get("secrets", [])} == FLEET["secrets"].keys()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {*services["worker"]["build"]["args"]["EXTRAS"].split(",")} <= project["optional-dependencies"].keys()


def test_the_page_shows_commands_of_the_fleet_that_exist() -> None:
    shown = re.findall(r"docker compose --file deploy/fleet.yaml (?:--profile \S+ )?(?:run --rm|exec) (\S+) (.+)", PAGE)
    ours = [words.removeprefix("elp ").split() for name, words in shown if name in ("control", "worker")]
    assert len(ours) == 3
    for words in ours:
        _accepted(words)


def test_the_product_reads_every_variable_of_the_files() -> None:
    sources = "".join(p.read_text("utf-8") for room in ("pipelines", "elp_core") for p in (ROOT / room).rglob("*.py"))
    ours: set[str] = set()
    for service in FLEET["services"].values():
        ours |= {*service.get("environment", {})}
    for pod in _pods():
        for container in [*pod["initContainers"], *pod["containers"]]:
            ours |= {variable["name"] for variable in container.get("env", [])}
    others = {name for name in ours if name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_", "POSTGRES_"))}
    read = {name for name in ours - others if f'"{name}"' in sources}
    assert read == ours - others
    assert {"ELP_WORKER_HOME", "ELP_WORKER_TOKEN", "ELP_GPU_LOCK", "ELP_GPU_LOCKS", "ELP_KEYS"} <= read


def _pods() -> list[dict[str, Any]]:
    _, deployment = yaml.safe_load_all((DEPLOY / "kubernetes" / "worker.yaml").read_text("utf-8"))
    template = json.loads((DEPLOY / "kubernetes" / "job-template.json").read_text("utf-8"))
    job = template["job_configuration"]["job_manifest"]
    return [deployment["spec"]["template"]["spec"], job["spec"]["template"]["spec"]]


def test_the_pods_have_no_rights_and_their_volumes_exist() -> None:
    for pod in _pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in [*pod["initContainers"], *pod["containers"]]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}
            }  # fmt: skip
        (main,) = pod["containers"]
        assert "nvidia.com/gpu" in main["resources"]["limits"]


def test_the_pod_of_a_worker_enrols_once_and_runs_the_worker() -> None:
    claim, deployment = yaml.safe_load_all((DEPLOY / "kubernetes" / "worker.yaml").read_text("utf-8"))
    pod = _pods()[0]
    (enrol,), (worker,) = pod["initContainers"], pod["containers"]
    known, _, words = enrol["args"][0].partition(" || ")
    assert known == "test -f $ELP_WORKER_HOME/worker.json"
    _accepted(words.removeprefix("elp ").split())
    _accepted(worker["args"])
    homes = {v["value"] for c in (enrol, worker) for v in c["env"] if v["name"] == "ELP_WORKER_HOME"}
    assert homes == {worker["volumeMounts"][0]["mountPath"]}
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert deployment["spec"]["strategy"]["type"] == "Recreate", "two pods must not have one home"
    selector, labels = (
        deployment["spec"]["selector"]["matchLabels"],
        deployment["spec"]["template"]["metadata"]["labels"],
    )
    assert selector == labels


def test_the_template_of_the_jobs_is_one_that_prefect_accepts() -> None:
    from prefect.utilities.templating import apply_values, find_placeholders

    template = json.loads((DEPLOY / "kubernetes" / "job-template.json").read_text("utf-8"))
    variables = template["variables"]["properties"]
    assert {found.name for found in find_placeholders(template["job_configuration"])} == variables.keys()
    filled = apply_values(template["job_configuration"], {name: one["default"] for name, one in variables.items()})
    (container,) = filled["job_manifest"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == "python -m pipelines.orchestration.quick_prefect engine"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    # not `elp`, the entry point of the image
    assert container["command"] == ["/usr/bin/env"]
    program = container["args"].split()
    assert program[-1] == ENGINE
    assert importlib.util.find_spec(program[2])
