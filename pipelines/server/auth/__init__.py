"""The caller and its rights: `middleware` (before every request), `mlflow_login`, `principal`, `prefect_rights`."""
