"""The login in the environment of a pull goes to the address that it belongs to, and to no other one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipelines.errors import UsageError
from pipelines.local.box_home import origin_of
from pipelines.registry.client.connection import PASSWORD, USERNAME, Account

ADDRESS = "MLFLOW_TRACKING_URI"
"""Environment variable with the address of the server, which MLflow's client reads, too."""


def account_of(environment: Mapping[str, str]) -> Account | None:
    """Return the account in the environment, or None."""
    name = environment.get(USERNAME)
    return Account(name, environment.get(PASSWORD, "")) if name else None


def account_for(
    source: str, before: str, environment: Mapping[str, str], log: Callable[[str], None] = lambda line: None
) -> Account | None:
    """Return the account in the environment if it is one for `source`; a line of the log says if it is not.

    The account belongs to the address in MLFLOW_TRACKING_URI, else to `before`, from which the box pulled last.
    """
    account, named = account_of(environment), _address_in(environment.get(ADDRESS, ""))
    own = origin_of(source)
    if account is None or not own or own == (named or _address_in(before)):
        return account
    whose = f"{ADDRESS} names another address" if named else "this box did not pull from there before"
    log(f"{whose}: the login of {account.name} is not sent to {source}; if it is for that address, set {ADDRESS} to it")
    return None


def _address_in(text: str) -> str:
    """Return the scheme, host and port of an address; empty for what is none, such as a file of MLflow."""
    try:
        return origin_of(text) if text.startswith(("http://", "https://")) else ""
    except UsageError:
        return ""
