"""Prefect flows and tasks, deployments, schedules, and what a run reports. No arithmetic."""
