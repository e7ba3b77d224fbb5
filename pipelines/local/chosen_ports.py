"""The ports of the servers of `elp up`: they stay the same from one start to the next."""

from pipelines.errors import ServiceError
from pipelines.local import http_client as web
from pipelines.local.addresses import Record


def last_port(record: Record, name: str, port: int) -> int:
    """Return the port that was used last; 0 if there is none, or if another port is configured since."""
    # an older record does not say what was configured: its port counts only if any port may be chosen
    same = record.configured.get(name, 0) == port
    return record.ports.get(name, 0) if same else 0


def choose_port(name: str, host: str, port: int, last: int, free_ports: bool) -> int:
    """Return the port of a server: the last one if it is free, else the configured one, else with `free_ports` any.

    Raises ServiceError if the configured port is taken and no other may be chosen.
    """
    # the addresses that people and other machines know stay the same
    if last and web.port_is_free(host, last):
        return last
    if port and web.port_is_free(host, port):
        return port
    if port and not free_ports:
        owner = web.port_owner(port)
        raise ServiceError(
            f"port {port} for {name} is taken{f' by {owner}' if owner else ''}; stop that, or set "
            f"servers.{name}_port in elp.yaml to a free port, or run: elp up --free-ports"
        )
    return web.free_port(host)
