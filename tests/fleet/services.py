"""What a company has before it installs this project: a database server, an object store, and Git over SSH."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable

from tests.fleet.hosts import DISK, Host
from tests.support.missing import skip_without
from tests.support.postgres import postgres_binaries

PASSWORD = "database-password"
STORE_KEY, STORE_SECRET = "elp-key", "elp-secret"
POSTGRES_PORT, STORE_PORT = 5432, 8333
_START_SECONDS = 120.0


def start_database(host: Host, databases: tuple[str, ...]) -> None:
    """Start PostgreSQL with a role `elp` that needs its password, and make the databases."""
    binaries, data = postgres_binaries(), DISK / "pg"
    if not (host.folder / "pg").exists():
        host.run("install", "-d", "-m", "700", "-o", "postgres", str(data))
        host.run("install", "-m", "644", "/dev/stdin", str(DISK / "pw"), stdin=PASSWORD)
        made = ["--username=elp", "--auth=scram-sha-256", f"--pwfile={DISK / 'pw'}", "--encoding=UTF8", "--no-sync"]
        host.run(str(binaries / "initdb"), f"--pgdata={data}", *made, "--locale=C.UTF-8", user="postgres")
        host.run("sh", "-c", f"echo 'host all all 10.77.0.0/24 scram-sha-256' >> {data}/pg_hba.conf", user="postgres")
    options = {"listen_addresses": host.address, "unix_socket_directories": "", "fsync": "off"}
    given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    host.start("postgres", str(binaries / "postgres"), "-D", str(data), *given, user="postgres")
    asks = (str(binaries / "pg_isready"), "-q", "-h", host.address)
    wait(lambda: succeeds(host, *asks), "PostgreSQL", host, "postgres")
    psql = (str(binaries / "psql"), "-qAtX", "-h", host.address, "-U", "elp", "-d", "postgres", "-c")
    for name in databases:
        if not host.run(*psql, f"select 1 from pg_database where datname = '{name}'", PGPASSWORD=PASSWORD).strip():
            host.run(*psql, f'create database "{name}"', PGPASSWORD=PASSWORD)


def start_store(host: Host, bucket: str) -> None:
    """Start SeaweedFS with one user, and make a bucket."""
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    credentials = [{"accessKey": STORE_KEY, "secretKey": STORE_SECRET}]
    (host.folder / "s3.json").write_text(
        json.dumps({"identities": [{"name": "elp", "credentials": credentials, "actions": actions}]})
    )
    (host.folder / "weed").mkdir(exist_ok=True)
    command = ["weed", "server", f"-dir={DISK / 'weed'}", f"-ip={host.address}", f"-ip.bind={host.address}"]
    limits = ["-master.volumeSizeLimitMB=64", "-volume.max=50"]
    host.start("weed", *command, *limits, "-s3", f"-s3.port={STORE_PORT}", f"-s3.config={DISK / 's3.json'}")
    make = (
        "import boto3; store = boto3.client('s3'); names = [one['Name'] for one in store.list_buckets()['Buckets']]; "
        f"'{bucket}' in names or store.create_bucket(Bucket='{bucket}')"
    )
    wait(lambda: succeeds(host, "python", "-c", make, **store_environment(host)), "the object store", host, "weed")


def store_environment(host: Host) -> dict[str, str]:
    """The environment of a client of the object store on `host`."""
    return {
        "AWS_ACCESS_KEY_ID": STORE_KEY,
        "AWS_SECRET_ACCESS_KEY": STORE_SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": f"http://{host.address}:{STORE_PORT}",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }


def start_git(host: Host, repository: str) -> str:
    """Start an SSH server with an empty repository; return the repository's address."""
    server = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if server is None:
        skip_without("no SSH server: the command sshd is missing")
    folder = host.folder / "ssh"
    if not folder.exists():
        folder.mkdir(mode=0o700)
        host.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(DISK / "ssh" / "host_key"))
        host.run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(DISK / repository))
        settings = {
            "Port": "22",
            "ListenAddress": host.address,
            "HostKey": DISK / "ssh" / "host_key",
            "AuthorizedKeysFile": DISK / "ssh" / "authorized_keys",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "UsePAM": "no",
            "StrictModes": "no",
            "PidFile": "none",
        }
        (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        (folder / "authorized_keys").write_text("")
    host.run("mkdir", "-p", "/run/sshd")
    host.start("sshd", server, "-D", "-e", "-f", str(DISK / "ssh" / "config"))
    wait(lambda: "listening" in host.log("sshd"), "the SSH server", host, "sshd")
    return f"ssh://root@{host.address}{DISK / repository}"


def let_in(git: Host, visitor: Host) -> None:
    """Give a host a key that the SSH server of `git` accepts, and the server's own key."""
    folder = visitor.folder / ".ssh"
    if not folder.exists():
        folder.mkdir(mode=0o700)
        visitor.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(DISK / ".ssh" / "id_ed25519"))
    public = (folder / "id_ed25519.pub").read_text()
    with (git.folder / "ssh" / "authorized_keys").open("a") as file:
        file.write(public)
    kind, key = (git.folder / "ssh" / "host_key.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"{git.address} {kind} {key}\n")
    # OpenSSH looks for its files in the home of the user's account, which all hosts share, and not in HOME
    mine = DISK / ".ssh"
    (folder / "config").write_text(f"IdentityFile {mine / 'id_ed25519'}\nUserKnownHostsFile {mine / 'known_hosts'}\n")
    visitor.environment["GIT_SSH_COMMAND"] = f"ssh -F {mine / 'config'}"


def succeeds(host: Host, *command: str, **environment: str) -> bool:
    """Whether a command ends with 0 on a host."""
    done = subprocess.run(host.command(*command, **environment), capture_output=True, timeout=120)
    return done.returncode == 0


def wait(ready: Callable[[], bool], what: str, host: Host, log: str) -> None:
    """Wait until something answers."""
    ends = time.monotonic() + _START_SECONDS
    while not ready():
        assert time.monotonic() < ends, f"{what} did not start on {host.name}:\n{host.log(log)}"
        time.sleep(0.3)
