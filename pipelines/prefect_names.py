"""What the MLflow server and the processes of `elp up` must name alike about Prefect."""

PREFECT_PATH = "/prefect"
"""The MLflow server shows Prefect's pages below this path, and its API below ``/prefect/api``."""
PREFECT_SERVER = "ELP_PREFECT_SERVER"
"""Environment variable of the MLflow server: address of the Prefect server that it shows, as http://127.0.0.1:4200."""
PREFECT_LOGIN = "PREFECT_API_AUTH_STRING"
"""Environment variable with the key of a Prefect server that asks for one; `prefect_api` sets that of the own one."""
