"""The answers while the database is away: HTTP 503, so that clients ask again and a scraper knows the cause."""

import json
from typing import Any

from flask import Response

RETRY_SECONDS = 5


def outage_reason(error: Any) -> str:
    """Return the driver's first line of SQLAlchemy's `OperationalError`, without the statement."""
    return str(error.orig or error).strip().partition("\n")[0]


def outage_sentence(error: Any) -> str:
    """Return what people read of SQLAlchemy's `OperationalError`."""
    reason = outage_reason(error)
    return f"The database of the registry does not answer: {reason}. Nothing was changed; try again when it is back."


def answer_outage(error: Any) -> Response:
    """Answer a client of the API or of the metrics."""
    values = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": outage_sentence(error)}
    return Response(json.dumps(values), 503, {"Retry-After": str(RETRY_SECONDS)}, mimetype="application/json")
