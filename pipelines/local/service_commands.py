"""The command line and environment of each service."""

import hashlib
import json
import os
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from pipelines.local import accounts
from pipelines.local.addresses import MLFLOW, prefect_login, prefect_pages, read_record
from pipelines.local.environment import child_environment
from pipelines.local.gpu_need import SMALLEST
from pipelines.local.secret_values import ARTIFACTS_NAMES, DATA_NAMES, DATABASE_NAMES, read_secrets
from pipelines.local.store_addresses import prefect_connection
from pipelines.local.supervision import GUARD, SUPERVISOR
from pipelines.local.worker_home import HOME
from pipelines.local.worker_plan import CPU_LIMIT, CPU_POOL, GPU_POOL, WorkerSpec, gpus_of_up
from pipelines.local.workspace import Workspace
from pipelines.prefect_names import PREFECT_LOGIN, PREFECT_PATH, PREFECT_SERVER
from pipelines.registry.backbone_licence import BACKBONES_VARIABLE
from pipelines.registry.ledger.ledger_checkpoint import CHECKPOINT_VARIABLE, checkpoint_file
from pipelines.registry.operation_figures import FIGURES_FILE, FIGURES_VARIABLE
from pipelines.registry.retention import POLICY_VARIABLE
from pipelines.registry.signing.keys import FOLDER_VARIABLE, key_folder

POOLS = {
    CPU_POOL: "Data work and the flows that fan out over slots.",
    GPU_POOL: "Training and evaluation.",
}
"""Work pools of type process, and what each is for."""

SUPERVISION = {SUPERVISOR: "pipelines.orchestration.supervisor", GUARD: "pipelines.local.supervision_guard"}
"""Name -> module of the supervision and of its guard; each starts the other one again."""

FRONT = "ELP_FRONT"
"""Environment variable of the Prefect server: address of the MLflow server that shows its pages."""


def mlflow_command(workspace: Workspace, host: str, port: int) -> list[str]:
    """Return the command of the MLflow server with our guard, which serves artifacts from a folder or from S3."""
    # MLflow unquotes the path of a file URI
    store = workspace.settings.servers.artifacts or f"file://{quote(str(workspace.state / 'mlflow-artifacts'))}"
    # the addresses of the database may hold a password: they are in the environment, which `ps` does not show
    return [
        *(sys.executable, "-m", "mlflow", "server", "--app-name", "elp", "--host", host, "--port", str(port)),
        *("--workers", "1", "--artifacts-destination", f"elp+{store}", "--serve-artifacts"),
    ]


def prefect_command(host: str, port: int) -> list[str]:
    """Return the command of the Prefect server with its scheduler and its UI, which asks no other host."""
    command = (sys.executable, "-m", "pipelines.orchestration.quick_prefect", "server", "start")
    return [*command, "--host", host, "--port", str(port)]


def local_pools(workspace: Workspace) -> list[str]:
    """Return the pools for which `elp up` starts a worker on this machine."""
    return [pool for pool in POOLS if pool != GPU_POOL or workspace.settings.servers.workers]


def worker_command(workspace: Workspace, pool: str) -> list[str]:
    """Return the command of a process worker on one pool."""
    name = worker_name(workspace, pool)
    if pool == GPU_POOL:
        return WorkerSpec(pool, pool, name, workspace.settings.servers.workers).command()
    return WorkerSpec(pool, pool, name, CPU_LIMIT, queues=(SMALLEST, workspace_queue(workspace))).command()


def workspace_queue(workspace: Workspace) -> str:
    """Return the work queue of runs that need the workspace's own folder: only the worker of its `elp up` takes them.

    A worker with a clone takes none, and so does the worker of another workspace on the same Prefect server.
    """
    return f"workspace-{hashlib.sha256(workspace.address.encode()).hexdigest()[:8]}"


def worker_name(workspace: Workspace, pool: str) -> str:
    """Return the name of the worker of `elp up` on a pool; on a Prefect server elsewhere, only this one has it."""
    if not workspace.settings.servers.prefect_api:
        return f"{pool}-local"
    # several workspaces and machines may start workers on one server, and each has to find the runs that are its own
    place = hashlib.sha256(str(workspace.root).encode()).hexdigest()[:6]
    return f"{pool}-{socket.gethostname()}-{place}"


def process_command(workspace: Workspace, name: str, api: str) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of what is no server: a worker, the supervision or its guard."""
    if name in SUPERVISION:
        return [sys.executable, "-m", SUPERVISION[name]], supervisor_environment(workspace, api)
    gpus = gpus_of_up(name, workspace.settings.servers.workers)
    return worker_command(workspace, name), worker_environment(workspace, api) | gpus


def server_environment(workspace: Workspace) -> dict[str, str]:
    """Return the environment of the two servers."""
    servers = workspace.settings.servers
    if not servers.artifacts:
        (workspace.state / "mlflow-artifacts").mkdir(parents=True, exist_ok=True)
    retention = workspace.settings.retention
    database = servers.database or f"sqlite:///{workspace.state / 'mlflow.db'}"
    secrets = read_secrets(workspace.state)
    environment = child_environment(
        {
            **{name: secrets[name] for name in DATABASE_NAMES if name in secrets},
            **_prefect_home(workspace.state / "prefect"),
            "MLFLOW_BACKEND_STORE_URI": database,
            "MLFLOW_REGISTRY_STORE_URI": f"elp+{database}",
            FOLDER_VARIABLE: str(key_folder(workspace.state)),
            CHECKPOINT_VARIABLE: str(checkpoint_file(workspace.state)),
            # the console shows and plays the data of this workspace only
            "ELP_DATA_ROOT": str(workspace.root),
            FIGURES_VARIABLE: str(workspace.state / FIGURES_FILE),
            POLICY_VARIABLE: json.dumps(asdict(retention)),
            BACKBONES_VARIABLE: workspace.settings.backbones.to_environment(),
            # the ledger records the address that connected, not what a header claims
            "FORWARDED_ALLOW_IPS": os.environ.get("FORWARDED_ALLOW_IPS", ""),
            # MLflow's own background jobs (prompt optimisation and the like) are not used here
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            # Prefect keeps every run for ever by default
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(round(retention.runs_days * 86_400)),
            "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P7D",
            # every run that is alive sends one each few minutes, and nobody reads those of yesterday
            "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": '{"prefect.flow-run.heartbeat": 86400}',
            # new schedules and late runs are checked often: it is one small database on one machine
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "15",
            # one that nobody asked for is no news, and to say that hundreds are ready again takes the server a minute
            "PREFECT_SERVER_SERVICES_FOREMAN_DEPLOYMENT_LAST_POLLED_TIMEOUT_SECONDS": "86400",
            **_prefect_database(servers.prefect_database),
        }
    )
    return {name: value for name, value in environment.items() if name not in ARTIFACTS_NAMES}


def _prefect_database(address: str) -> dict[str, str]:
    # in the environment, because the command line of a process is public on its machine
    return {"PREFECT_SERVER_DATABASE_CONNECTION_URL": prefect_connection(address)} if address else {}


def artifact_environment(workspace: Workspace) -> dict[str, str]:
    """Return what the MLflow server needs in addition if its artifacts are on S3; no other process gets these keys."""
    servers = workspace.settings.servers
    if not servers.artifacts:
        return {}
    secrets = read_secrets(workspace.state)
    return {
        **{name: secrets[name] for name in ARTIFACTS_NAMES if name in secrets},
        **({"MLFLOW_S3_ENDPOINT_URL": servers.s3_endpoint} if servers.s3_endpoint else {}),
    }


def behind_the_front(workspace: Workspace, front: str, key: str) -> dict[str, str]:
    """Return what the Prefect server needs in addition if the MLflow server at `front` shows its pages.

    With a `key` it answers requests with this key only.
    """
    return {
        FRONT: front,
        "PREFECT_SERVER_UI_SERVE_BASE": PREFECT_PATH,
        # by path alone: the pages are right under every name of the front
        "PREFECT_SERVER_UI_API_URL": f"{PREFECT_PATH}/api",
        # Prefect writes the path into a copy of its pages; that in the package is of one path for the whole machine
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(workspace.state / "prefect" / "pages"),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": front,
        **({"PREFECT_SERVER_API_AUTH_STRING": key} if key else {}),
    }


def showing_prefect(prefect: str, key: str) -> dict[str, str]:
    """Return what the MLflow server needs in addition to show the pages of the Prefect server at an address."""
    return {PREFECT_SERVER: prefect, **({PREFECT_LOGIN: key} if key else {})}


def worker_environment(workspace: Workspace, api: str) -> dict[str, str]:
    """Return the environment of the workers, and through them of the flow runs."""
    account = accounts.service(workspace)
    environment = child_environment(
        {
            # the runs act as the workspace's account, not as the user who started the workers
            **(account.environment() if account and not workspace.settings.servers.mlflow_uri else {}),
            **run_environment(workspace.state / "prefect", max(1, workspace.settings.servers.workers)),
            "PREFECT_API_URL": api,
            # the address of its pages, in the lines of a run's log
            "PREFECT_UI_URL": prefect_pages(workspace, api),
            **({PREFECT_LOGIN: key} if (key := prefect_login(workspace)) else {}),
            "ELP_WORKSPACE": str(workspace.root),
            **_for_clones(workspace),
        }
    )
    # the code of a run reaches databases and artifacts through the servers only
    return {name: value for name, value in environment.items() if name not in (*DATABASE_NAMES, *ARTIFACTS_NAMES)}


def supervisor_environment(workspace: Workspace, api: str) -> dict[str, str]:
    """Return the environment of what starts servers again: with the secrets that the user has set."""
    given = {name: os.environ[name] for name in (*DATABASE_NAMES, *ARTIFACTS_NAMES) if name in os.environ}
    return worker_environment(workspace, api) | given


def _for_clones(workspace: Workspace) -> dict[str, str]:
    """Return what runs need that open the workspace by its Git address, in a clone without keys and servers."""
    if not workspace.settings.git:
        return {}
    mlflow = read_record(workspace).find(MLFLOW)
    uri = workspace.settings.servers.mlflow_uri or (mlflow.address if mlflow else "")
    secrets = read_secrets(workspace.state)
    return {
        **{name: secrets[name] for name in DATA_NAMES if name in secrets},
        HOME: os.environ.get(HOME) or str(workspace.state / "worker"),
        FOLDER_VARIABLE: str(key_folder(workspace.state)),
        **({"MLFLOW_TRACKING_URI": uri} if uri else {}),
    }


def run_environment(home: Path, runs: int) -> dict[str, str]:
    """Return what every worker's environment has; `runs` trainings at once share the processor."""
    # the cores that this process may use; macOS cannot limit them
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        **_prefect_home(home),
        # a run starts within a second of being asked for; each look is a write to Prefect's database
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        # a run is not taken before its time: it would wait in the place of another one
        "PREFECT_WORKER_PREFETCH_SECONDS": "0",
        # the command line shows a run's lines as they come, and waits half a second for its last ones
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.3",
        # threads that spin at a barrier halve the speed of a training if another process needs a core
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        # runs at the same time share the cores; with one thread per core each, they would compete for all of them
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores // runs))),
    }


def _prefect_home(home: Path) -> dict[str, str]:
    # by default Prefect warns about each line that is logged outside a flow run
    return {"PREFECT_HOME": str(home), "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore"}
