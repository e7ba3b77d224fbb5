"""Credentials in addresses: settings are in Git, and runs, lineages and messages show addresses."""

from urllib.parse import parse_qsl, urlsplit

_WEB = frozenset({"http", "https", "webdav", "webdavs"})
"""Schemes whose user name is often an access token."""


def credential_in(address: str) -> str:
    """Return what in an address is or may be a credential, as the object of "it holds"; empty if nothing is.

    The user of ``ssh://`` is none. A query is refused whatever it says: that is where servers take tokens.

    >>> credential_in("https://ghp_0123@github.com/x/y.git")
    'a user name, which may be an access token'
    >>> credential_in("ssh://elp@control/srv/foundry.git")
    ''
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        # it may hold anything
        return "a login that cannot be read" if "@" in address else ""
    if parts.password is not None:
        return "a password"
    if parts.username and parts.scheme in _WEB:
        return "a user name, which may be an access token"
    if parts.query or (parts.fragment and parts.scheme in _WEB):
        return "a query (what follows ? or #), which may hold an access token"
    return ""


def has_password(address: str) -> bool:
    """Return whether the address of a database holds a password, as a part of the login or in its query."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return bool(parts.password) or any(name == "password" for name, _ in parse_qsl(parts.query))


def without_password(address: str) -> str:
    """Return the address of a database for people, its password replaced by three dots; its query is left out then."""
    if not has_password(address):
        return address
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    login = f"{user.partition(':')[0]}:…" if parts.password else user
    return parts._replace(
        netloc=f"{login}{at}{host}", query="…" if "password=" in parts.query else parts.query
    ).geturl()
