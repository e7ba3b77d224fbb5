"""The account by which a client logs in to the MLflow server."""

from __future__ import annotations

from dataclasses import dataclass

USERNAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
"""Environment variables by which MLflow's client, and with it ours, logs in."""


@dataclass(frozen=True)
class Account:
    """A user name and its password."""

    name: str
    password: str

    def environment(self) -> dict[str, str]:
        """What makes MLflow's client log in as this user."""
        return {USERNAME: self.name, PASSWORD: self.password}
