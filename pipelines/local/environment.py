"""The environment of every process this system starts: no telemetry, no look-ups of newer versions."""

from __future__ import annotations

import os

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


def offline_environment() -> dict[str, str]:
    """Return the variables that switch telemetry off; what the user has set already stays."""
    return {name: os.environ.get(name, value) for name, value in OFFLINE.items()}


def child_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment with telemetry off and with `extra`, for a child process."""
    return {**os.environ, **offline_environment(), **(extra or {})}
