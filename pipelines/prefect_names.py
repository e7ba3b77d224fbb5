"""What the MLflow server and the processes of `elp up` must name alike about Prefect.

Prefect's events and filters select a state by its name. A name that a module gives to a final state is here, so that
the alerts and the console know it.
"""

PREFECT_PATH = "/prefect"
"""The MLflow server shows Prefect's pages below this path, and its API below ``/prefect/api``."""
PREFECT_SERVER = "ELP_PREFECT_SERVER"
"""Environment variable of the MLflow server: address of the Prefect server that it shows, as http://127.0.0.1:4200."""
PREFECT_LOGIN = "PREFECT_API_AUTH_STRING"
"""Environment variable with the key of a Prefect server that asks for one; `prefect_api` sets that of the own one."""
WRONG_RELEASE = "WrongRelease"
"""Name of the failed state of a run that a worker with another release has refused."""
MISSED = "Missed"
"""Name of the cancelled state of a planned run that did not start."""
BAD_ENDS = ("Failed", "Crashed", "TimedOut", WRONG_RELEASE)
"""Names of the states of the types FAILED and CRASHED that a flow run can end in."""
