"""Which processes and clusters do the work: `fan_out` of a workspace, and `compute` of a slot."""

import re
from dataclasses import dataclass
from typing import Literal

from elp_core.errors import ConfigError
from pipelines.local_hosts import LOCAL_HOSTS

MOST_PROCESSES = 64
_MOST_GIB = 10_000
Engine = Literal["processes", "dask", "ray"]
_SCHEMES = {"processes": "", "dask": "tcp|tls", "ray": "ray"}


@dataclass(frozen=True)
class FanOut:
    """What divides the large intakes and evaluations of flow runs.

    Raises a ConfigError for an address that others could use: who reaches a scheduler without a key runs code as its
    user.
    """

    engine: Engine = "processes"
    """``processes`` of the machine that runs the flow, or a ``dask`` or ``ray`` cluster through Prefect."""
    address: str = ""
    """Address of the cluster's scheduler; empty starts a cluster on the machine of the run, for the run."""

    def __post_init__(self) -> None:
        # a wrong engine has a fault already
        if self.address and self.engine in _SCHEMES and (fault := self._address_fault()):
            raise ConfigError("fan_out", [fault])

    def _address_fault(self) -> str:
        if self.engine == "processes":
            return f"address is {self.address!r}, and processes have none; set engine to dask or ray"
        schemes = _SCHEMES[self.engine]
        host = r"(\[[0-9A-Fa-f:]+\]|[\w.-]+)"
        found = re.fullmatch(rf"({schemes})://{host}:([0-9]{{1,5}})", str(self.address), re.ASCII)
        if not found or not 0 < int(found[3]) < 2**16:
            expected = " or ".join(f"{scheme}://HOST:PORT" for scheme in schemes.split("|"))
            return f"address is {self.address!r}, expected {expected}"
        if found[1] == "tcp" and found[2].strip("[]") not in LOCAL_HOSTS:
            return f"address is {self.address!r}: a scheduler on another machine needs TLS; expected tls://HOST:PORT"
        return ""


@dataclass(frozen=True)
class Compute:
    """How a slot uses its machine; no part of the training key. Raises a ConfigError for an impossible number."""

    processes: int = 1
    """Processes that train together: each has a part of every batch, and a GPU of its own or a part of the cores.

    A large evaluation is divided among as many."""
    gpu_memory: float = 0.0
    """GPU memory in GiB that a training needs, which chooses its work queue; 0 means an estimate."""

    def __post_init__(self) -> None:
        if not 0 <= self.gpu_memory < _MOST_GIB:
            raise ConfigError("compute", [f"gpu_memory is {self.gpu_memory}, expected GiB, or 0 for an estimate"])
        if not 1 <= self.processes <= MOST_PROCESSES:
            raise ConfigError(
                "compute", [f"processes is {self.processes}, expected 1 to {MOST_PROCESSES}: the GPUs of one machine"]
            )
