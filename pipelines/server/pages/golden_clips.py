"""The golden clips with the answers of two systems, as the pages of versions, golden sets and comparisons show them.

The answers are read from the gate's evidence; a verdict signs the hash of that file. The clips that an adapter was
trained on are not on this server: its lineage names the digest of their ids, and DVC has the clips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import sqlalchemy as sa

from elp_core.errors import ElpError
from pipelines.number_text import errors_title
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.server.read_models.answers import AnswerPage, Selection, System, show_answers
from pipelines.server.read_models.dependents import Dependents
from pipelines.server.read_models.gate_evidence import read_golden_scores
from pipelines.server.read_models.signed_records import RecordedVerdict, verdicts
from pipelines.server.read_models.version_comparison import Comparison
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts


@dataclass(frozen=True)
class AnswerTable:
    """A table of answers with its filter."""

    answers: AnswerPage | None
    """None if they cannot be shown."""
    fault: str
    """Why they cannot be shown; empty if they are."""
    source: str
    """Where the answers come from, in a sentence."""
    language: str = ""
    """Of reference and answer, as HTML names languages (BCP 47); empty for English, the language of the page."""
    fixed: tuple[tuple[str, str], ...] = ()
    """Parameters of the page's address that the filter keeps."""

    def link(self, first: int) -> str:
        """Return the query of the page that begins at a row, under the same filter."""
        assert self.answers
        chosen = self.answers.selection
        query = {**dict(self.fixed), "condition": chosen.condition, "speaker": chosen.speaker, "clip": str(first or "")}
        return "?" + urlencode({name: value for name, value in query.items() if value}) + "#clips"

    @property
    def errors_title(self) -> str:
        """Heading of the columns with errors."""
        return errors_title(self.answers.counted) if self.answers else ""


def wanted_rows(args: Mapping[str, str]) -> Selection:
    """Read the filter from the parameters of a page's address; what is no number begins at the first row."""
    first = args.get("clip", "")
    place = int(first) if first.isascii() and first.isdecimal() and len(first) < 12 else 0
    return Selection(args.get("condition", ""), args.get("speaker", ""), place)


def verdict_answers(said: Texts, run_id: str, verdict: VerdictStatement, wanted: Selection) -> AnswerTable:
    """Return the answers of both systems of a verdict on a version that this run trained."""
    language = verdict.normaliser.code if verdict.normaliser else ""
    source = said.say(
        "The answers are those that the gate's verdict on v%(version)s is based on.", version=verdict.version
    )
    try:
        return AnswerTable(show_answers(verdict_systems(said, run_id, verdict), wanted), "", source, language)
    except ElpError as error:
        return AnswerTable(None, in_english(said, f"{error}"), source)


def verdict_systems(said: Texts, run_id: str, verdict: VerdictStatement) -> Sequence[System]:
    """Return the systems of a verdict, the champion first; raise RegistryError if its evidence cannot be read."""
    found = read_golden_scores(run_id, verdict)
    mine = System(f"v{verdict.version}", found.challenger, found.challenger_threshold)
    if found.champion is None or verdict.against is None:
        return (mine,)
    name = said.say("v%(version)s (champion then)", version=verdict.against.version)
    return System(name, found.champion, found.champion_threshold), mine


def pair_systems(said: Texts, found: Comparison) -> Sequence[System]:
    """Return two versions with the scores that each one's own verdict is based on; raise as `verdict_systems`.

    Both have a verdict.
    """
    return [
        verdict_systems(said, side.row.version.run_id, side.verdict)[-1]
        for side in found.sides
        if side.verdict is not None
    ]


def newest_answers(
    said: Texts, registry: sa.Connection, tag: str, page: Dependents, wanted: Selection
) -> AnswerTable | None:
    """Return the answers of the newest verdict on a golden set, one on a champion if possible; None without a verdict.

    The rest of the page is made without them, so what cannot be read is named in the table.
    """
    runs = {one.version.model_version: one.version.run_id for one in page.dependents}
    judged = _newest(registry, tag, page)
    if judged is None:
        return None
    verdict = judged.statement
    return verdict_answers(said, runs[verdict.model, verdict.version], verdict, wanted)


def _newest(registry: sa.Connection, tag: str, page: Dependents) -> RecordedVerdict | None:
    runs = [one.version.model_version for one in page.dependents]
    champions = {one.version.model_version for one in page.dependents if CHAMPION in one.version.aliases}
    every = [one for found in verdicts(registry, runs).values() for one in found if one.statement.golden.tag == tag]
    return max(every, key=lambda one: ((one.statement.model, one.statement.version) in champions, one.at), default=None)
