"""The environment of every process this system starts: no telemetry, no look-ups of newer versions."""

import os

from elp_core.checkpoint_folders import handed_on

OFFLINE = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Telemetry switches of every tool in use."""


def child_environment(extra: dict[str, str]) -> dict[str, str]:
    """Return the environment of a child process: telemetry off unless the user has set it, and `extra`.

    Relative names of backbones mean the same folders in it.
    """
    return {**OFFLINE, **os.environ, **handed_on(), **extra}
