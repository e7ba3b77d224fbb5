"""Two versions of a slot side by side: results, cost, what they were made from, and whether they can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.registry.lineage import normaliser_text
from pipelines.registry.verdict_statement import ChampionRef, VerdictStatement
from pipelines.server.read_models.decision import Cost, change_text, version_cost
from pipelines.server.read_models.signed_records import RecordedLineage
from pipelines.server.read_models.slot_page import VersionRow
from pipelines.texts.message_catalogue import Texts, texts
from pipelines.texts.rate_words import metric_words, points_words


def _titles(said: Texts) -> dict[str, str]:
    """Return the names of the digests of a lineage for people."""
    return {
        "gitCommit": said.say("Git commit"),
        "dvcMd5": said.say("DVC hash"),
        "elpIds": said.say("digest of the clips' ids"),
        "elpFingerprint": said.say("fingerprint"),
        "elpCode": said.say("digest of the code"),
        "elpLock": said.say("digest of all packages"),
        "elpUnits": said.say("digest of the units"),
        "elpBundle": said.say("bundle"),
    }


@dataclass(frozen=True)
class Side:
    """One of the two versions."""

    row: VersionRow
    lineage: RecordedLineage | None
    cost: Cost

    @property
    def name(self) -> str:
        """``v3``."""
        return f"v{self.row.version.version}"

    @property
    def verdict(self) -> VerdictStatement | None:
        """The newest verdict on it."""
        return self.row.judged.statement if self.row.judged else None


@dataclass(frozen=True)
class Difference:
    """Something that the two versions were made with, and that differs."""

    group: str
    """settings, dataset, backbone, code, packages, machine …"""
    name: str
    values: tuple[str, str]
    """Empty if a version does not have it."""


@dataclass(frozen=True)
class Comparison:
    """Two versions of one slot."""

    one: Side
    other: Side
    obstacle: str
    """Why their metrics are not compared, in a sentence; empty if they are."""
    change: str
    """The second against the first; empty if they are not compared."""
    differences: tuple[Difference, ...]
    same: int
    """Number of settings and facts of the origin that are equal."""

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both, in the order of the page."""
        return self.one, self.other


def compare_versions(
    rows: tuple[VersionRow, VersionRow],
    lineages: tuple[RecordedLineage | None, RecordedLineage | None],
    metrics: Mapping[str, Mapping[str, float]],
    language: Texts | None = None,
) -> Comparison:
    """Compare two versions; `metrics` are those of the training runs by run id. In English without a language."""
    said = language or texts("en")
    one, other = (
        Side(row, lineage, version_cost(row.version, metrics)) for row, lineage in zip(rows, lineages, strict=True)
    )
    obstacle = find_obstacle(said, one, other)
    differences, same = _differences(said, lineages)
    change = "" if obstacle else _change(said, one, other)
    return Comparison(one, other, obstacle, change, tuple(differences), same)


def find_obstacle(said: Texts, one: Side, other: Side) -> str:
    """Return why the metrics of two versions are not compared, in a sentence; empty if they are."""
    mine, theirs = one.verdict, other.verdict
    if one.name == other.name:
        return said.say("both are %(name)s", name=one.name)
    if mine is None or theirs is None:
        return said.say("the gate has not measured %(name)s", name=one.name if mine is None else other.name)
    names = {"one": one.name, "other": other.name}
    if mine.metric != theirs.metric:
        metrics = {"first": metric_words(said, mine.metric), "second": metric_words(said, theirs.metric)}
        return said.say("two metrics decided: %(one)s by %(first)s, %(other)s by %(second)s", **names, **metrics)
    if mine.golden != theirs.golden:
        return said.say(
            "they were measured on two golden sets: %(one)s on %(first)s, %(other)s on %(second)s",
            first=mine.golden.tag, second=theirs.golden.tag, **names,
        )  # fmt: skip
    if mine.normaliser != theirs.normaliser:
        first, second = (
            normaliser_text(found.normaliser) if found.normaliser else said.say("English") for found in (mine, theirs)
        )
        return said.say(
            "their transcripts have two normal forms: %(one)s under %(first)s, %(other)s under %(second)s",
            first=first, second=second, **names,
        )  # fmt: skip
    return ""


def _change(said: Texts, one: Side, other: Side) -> str:
    mine, theirs = one.verdict, other.verdict
    assert mine
    assert theirs
    if theirs.against == ChampionRef(one.row.version.version, mine.bundle):
        return f"{other.name}: {change_text(theirs, said)}"
    if mine.against == ChampionRef(other.row.version.version, theirs.bundle):
        return f"{one.name}: {change_text(mine, said)}"
    if mine.challenger is None or theirs.challenger is None:
        return ""
    return said.say(
        "%(name)s: %(metric)s %(change)s against %(other)s on the same golden set. No verdict compares these two, so "
        "the interval of the difference is unknown",
        name=other.name,
        metric=metric_words(said, theirs.metric),
        change=points_words(said, theirs.challenger - mine.challenger),
        other=one.name,
    )


def _differences(
    said: Texts, lineages: tuple[RecordedLineage | None, RecordedLineage | None]
) -> tuple[list[Difference], int]:
    titles = _titles(said)
    facts = [_facts(titles, lineage) if lineage else {} for lineage in lineages]
    if not all(facts):
        return [], 0
    names = list(dict.fromkeys([*facts[0], *facts[1]]))
    pairs = {name: (facts[0].get(name, ""), facts[1].get(name, "")) for name in names}
    found = [Difference(*name, pair) for name, pair in pairs.items() if pair[0] != pair[1]]
    return found, len(pairs) - len(found)


def _facts(titles: Mapping[str, str], lineage: RecordedLineage) -> dict[tuple[str, str], str]:
    """Return settings and origins by group and name, as texts."""
    statement = lineage.statement
    found = {("settings", name): text for name, text in _flat(statement.config).items()}
    found["settings", "seed"] = str(statement.seed)
    for material in statement.materials:
        if material.name == "dataset":
            found["dataset", "version"] = statement.dataset
        elif material.uri:
            found[material.name, "name"] = material.uri
        for algorithm, digits in material.digest.items():
            found[material.name, titles.get(algorithm, algorithm)] = digits
        for name, text in _flat(material.annotations).items():
            found[material.name, name] = text
    for group, values in (("training", statement.given.get("training")), ("machine", statement.given.get("hardware"))):
        found |= {(group, name): text for name, text in _flat(values or {}).items()}
    found |= {("language", name): text for name, text in _flat(statement.given.get("language", {})).items()}
    return found


def _flat(values: Any, prefix: str = "") -> dict[str, str]:
    """Return nested values as texts by dotted name; a value that is no object has no parts."""
    if not isinstance(values, Mapping):
        return {prefix.rstrip("."): "" if values is None else str(values)}
    found: dict[str, str] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.")
    return found
