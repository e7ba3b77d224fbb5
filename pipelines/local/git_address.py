"""Git addresses: what is one, and what a workspace cannot use as one."""

import re
from urllib.parse import urlsplit

from pipelines.local.address_credentials import credential_in

_SCP = re.compile(r"[^/:\s-][^/:\s]*:[^:].*")
"""Git's short form of an SSH address, ``user@host:path``."""
_SCP_PASSWORD = re.compile(r"[^/@:]+:.*@[^/@:]+:.*")
"""``user:password@host:path``; in ``host:path@1`` no colon follows."""
_SCHEMES = frozenset({"ssh", "git", "http", "https", "file", "git+ssh", "ssh+git"})


def is_git_address(text: str) -> bool:
    """Return whether a text is the address of a Git repository and not a folder of this machine."""
    return "://" in text or _SCP.fullmatch(text) is not None


def git_credential(address: str) -> str:
    """Return what in the address of a repository or a folder is or may be a credential; empty if nothing is."""
    if "://" in address:
        return credential_in(address)
    if not is_git_address(address):
        return ""
    if "?" in address:
        return "a query (what follows ?), which may hold an access token"
    return "a password (what follows : before the @)" if _SCP_PASSWORD.fullmatch(address) else ""


def address_faults(address: str) -> list[str]:
    """Return why workers cannot use an address; an empty list if they can."""
    if not is_git_address(address):
        return [
            f"{address!r} is no Git address; expected one that every worker reaches, such as "
            "ssh://elp@control/srv/elp/foundry.git"
        ]
    if found := git_credential(address):
        # without the address itself: it would show the password again
        return [
            f"it holds {found}, which runs and lineages would show; every machine has its own credentials: an SSH key, "
            "or for https Git's credential helper (git help gitcredentials)"
        ]
    if "://" not in address:
        return []
    try:
        parts = urlsplit(address)
    except ValueError as error:
        return [f"{address!r} cannot be read: {error}"]
    if parts.scheme not in _SCHEMES:
        return [f"the scheme of {address!r} is {parts.scheme!r}, expected one of {', '.join(sorted(_SCHEMES))}"]
    return []
