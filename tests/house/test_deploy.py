"""The image, the compose file and the unit of `deploy/`, without Docker: what they run works, what they say holds.

The image itself is not built here: that needs a daemon and a base image.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import yaml
from packaging.specifiers import SpecifierSet

from pipelines.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "how-to" / "containers.md").read_text("utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
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
        context = command.make_context(name, rest, parent=context)
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
    text = "".join(path.read_text("utf-8") for path in sorted(DEPLOY.iterdir()))
    assert not re.search(r"(?i)password\s*[=:]|token\s*[=:]|secret\s*[=:]|BEGIN .*KEY", text)
    assert {path.name for path in DEPLOY.iterdir()} == {"Dockerfile", "compose.yaml", "elp-foundry.service"}


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


def test_the_unit_lets_elp_end_the_services_in_their_order() -> None:
    lines = (DEPLOY / "elp-foundry.service").read_text("utf-8").splitlines()
    assert "KillMode=mixed" in lines
    assert "TimeoutStopSec=60" in lines


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = (DEPLOY / "elp-foundry.service").read_text("utf-8")
    command = re.search(r"^ExecStart=(\S+) (.+)$", unit, re.M)
    assert command is not None
    _accepted(command[2].split())
    copy = tmp_path / "elp-foundry.service"
    # it checks that the command and the user exist on this machine
    copy.write_text(unit.replace(command[1], f'"{sys.executable}"').replace("User=elp", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "elp-foundry" in line]
    assert ours == []
