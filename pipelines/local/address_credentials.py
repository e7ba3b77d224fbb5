"""Credentials in addresses: settings are in Git, and runs, lineages and messages show addresses."""

from urllib.parse import parse_qsl, urlsplit

QUERY = "a query (what follows ? or #), which may hold an access token"
_WEB = frozenset({"http", "https", "webdav", "webdavs"})
"""Schemes whose user name is often an access token."""
_UNREADABLE = "a login that cannot be read"


def credential_in(address: str) -> str:
    """Return what in an address is or may be a credential, as the object of "it holds"; empty if nothing is.

    The user of ``ssh://`` is none. A query is refused whatever it says: that is where servers take tokens.

    >>> credential_in("https://ghp_0123@github.com/x/y.git")
    'a user name, which may be an access token'
    >>> credential_in("ssh://elp@control/srv/foundry.git")
    ''
    """
    if not _readable(address):
        # it may hold anything
        return _UNREADABLE if "@" in address else QUERY if {"?", "#"} & set(address) else ""
    parts = urlsplit(address)
    if parts.password is not None:
        return "a password"
    if parts.username and parts.scheme in _WEB:
        return "a user name, which may be an access token"
    if parts.query or (parts.fragment and parts.scheme in _WEB):
        return QUERY
    return ""


def is_address(address: str) -> bool:
    """Return whether programs can read the host and the port of an address, or it has none.

    >>> is_address("http://[fd00::1]:5000"), is_address("http://[fd00:5000"), is_address("http://control:port")
    (True, False, False)
    """
    try:
        _ = urlsplit(address).port
    except ValueError:
        return False
    return True


def host_faults(**addresses: str) -> list[str]:
    """Return a sentence for each named address that cannot be read; it does not show it, since it may hold a login."""
    return [
        f"{name} has a host or a port that cannot be read" for name, one in addresses.items() if not is_address(one)
    ]


def has_password(address: str) -> bool:
    """Return whether the address of a database holds a password, as a part of the login or in its query."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return bool(parts.password) or any(name == "password" for name, _ in parse_qsl(parts.query))


def without_password(address: str) -> str:
    """Return the address of a database for people, its password and a query with one replaced by three dots.

    >>> without_password("postgresql://elp:secret@db/x?sslpassword=secret")
    'postgresql://elp:…@db/x?…'
    """
    if not _readable(address):
        return "an address with a login" if {"@", "?", "#"} & set(address) else address
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    login = f"{user.partition(':')[0]}:…" if parts.password else user
    secret = any("password" in name for name, _ in parse_qsl(parts.query))
    return parts._replace(netloc=f"{login}{at}{host}", query="…" if secret else parts.query).geturl()


def _readable(address: str) -> bool:
    """Return whether the parts of an address are certain: a password with a slash looks like a host with a port."""
    try:
        parts = urlsplit(address)
        if "@" not in parts.path + parts.query + parts.fragment:
            return True
        # the login of user:12/3@host ends in the path, that of user@host:22/x@1 before it
        return parts.port is None or "@" in parts.netloc
    except ValueError:
        return False
