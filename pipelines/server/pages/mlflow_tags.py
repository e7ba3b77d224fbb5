"""The tags that MLflow's pages show of a slot's version: what decides comes first, and nothing is shown twice.

MLflow's table of versions shows all tags of a version, in the order of the database, and cuts them after 30 characters.
Its pages ask under ``/ajax-api/``; every other client gets the tags as they are stored.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Response

from pipelines.number_text import metric_title, percent
from pipelines.registry.adapter_version import Tags, report_address
from pipelines.registry.description import shows_value
from pipelines.registry.slot import Slot

RESULT, REPORT = "elp.result", "elp.report"
"""Tags that only the pages have: metric and value for people, and the address of the gate's report."""
_FIRST = (Tags.STATUS, Tags.VERDICT, Tags.OVERRIDE, RESULT, Tags.DATASET, REPORT)
_FOR_MACHINES = (Tags.GATE, Tags.DIRTY)
"""What they say is in the verdict's rows and, if code was changed, in the lineage of the description."""
_ASKED = ("model-versions/", "registered-models/")


def show_deciding_tags(path: str, server: str, response: Response) -> None:
    """Replace the tags of slots' versions in the answer to a page of MLflow.

    Args:
        path: Of the request, after the server's prefix.
        server: Address of the server for the page's reader, with its prefix.
        response: Changed in place, if it is about versions.
    """
    asked = path.removeprefix("/ajax-api/2.0/mlflow/")
    if not (asked != path and asked.startswith(_ASKED) and response.status_code == 200 and response.is_json):
        return
    answer = json.loads(response.get_data())
    versions = list(versions_of_slots(answer))
    for slot, version in versions:
        given = {tag["key"]: tag.get("value", "") for tag in version["tags"]}
        report = report_address(server, slot, int(version["version"]))
        shown = page_tags(given, version.get("description", ""), report)
        version["tags"] = [{"key": key, "value": value} for key, value in shown.items()]
    if versions:
        response.set_data(json.dumps(answer))


def page_tags(tags: Mapping[str, str], description: str, report: str) -> dict[str, str]:
    """Return the tags of a version as a page shows them, in order.

    Args:
        tags: As they are stored.
        description: Of the version; a tag whose value it shows is left out.
        report: Address of the gate's report, for a version with a verdict.
    """
    left = dict(tags)
    if result := _result(tags):
        left[RESULT] = result
        del left[Tags.METRIC], left[Tags.VALUE]
    if tags.get(Tags.GATE):
        left[REPORT] = report
    first = {key: left.pop(key) for key in _FIRST if key in left}
    hidden = {key for key in left if key in _FOR_MACHINES or shows_value(description, key, tags)}
    return first | {key: value for key, value in left.items() if key not in hidden}


def _result(tags: Mapping[str, str]) -> str:
    """Return metric and value as ``WER 8.00 %``; empty if the tags do not say them."""
    try:
        value = float(tags.get(Tags.VALUE, ""))
    except ValueError:
        return ""
    if not (tags.get(Tags.METRIC) and math.isfinite(value)):
        return ""
    judged = "" if tags.get(Tags.GATE) else " in validation"
    return f"{metric_title(tags[Tags.METRIC])} {percent(value)}{judged}"


def versions_of_slots(answer: Any) -> Iterator[tuple[Slot, dict[str, Any]]]:
    """Yield the versions of slots in an answer of MLflow, which nests them in several ways, with their slots."""
    if isinstance(answer, list):
        for one in answer:
            yield from versions_of_slots(one)
    elif isinstance(answer, dict):
        slot = Slot.of_model(str(answer.get("name", ""))) if {"version", "tags"} <= answer.keys() else None
        if slot is not None:
            yield slot, answer
            return
        for one in answer.values():
            yield from versions_of_slots(one)
