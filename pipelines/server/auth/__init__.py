"""Who calls, and what they may do: `middleware` (before every request), `mlflow_login`, `principal`."""
