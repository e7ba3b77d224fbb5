"""Errors of this project for the failures of python-tuf: what happened, that the box keeps its set, what to do next."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pipelines.errors import DeliveryRefused, ServiceError


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn the failures of python-tuf into errors of this project."""
    from tuf.api import exceptions

    try:
        yield
    except exceptions.ExpiredMetadataError as error:
        raise DeliveryRefused(
            "expired",
            f"the signed metadata have expired ({error}); updates stop here, and the box keeps its set: renew the root "
            "(elp root make), write the medium again (elp export), or look at this machine's clock",
        ) from error
    except exceptions.BadVersionNumberError as error:
        raise DeliveryRefused("rollback", f"the source offers older metadata than the box has: {error}") from error
    except exceptions.UnsignedMetadataError as error:
        raise DeliveryRefused("signature", f"the metadata lack signatures that count: {error}") from error
    except exceptions.LengthOrHashMismatchError as error:
        raise DeliveryRefused("altered", f"the metadata were altered: {error}") from error
    except exceptions.DownloadLengthMismatchError as error:
        raise DeliveryRefused("too long", f"the source sends more than it may: {error}") from error
    except exceptions.DownloadHTTPError as error:
        if error.status_code in (401, 403, 429) or error.status_code >= 500:
            raise ServiceError(f"{error}; the box keeps its set") from error
        raise DeliveryRefused("incomplete", f"{error}; the set is not complete") from error
    except exceptions.DownloadError as error:
        raise ServiceError(f"{error.__cause__ or error}; the box keeps its set") from error
    except exceptions.RepositoryError as error:
        raise DeliveryRefused("malformed", f"the metadata cannot be used: {error}") from error
