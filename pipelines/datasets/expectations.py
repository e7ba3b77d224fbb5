"""Great Expectations: evaluate rules on a table of clips, row by row, and write the Data Docs.

Its import takes seconds, so it is imported only when a delivery is validated.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.datasets.clip_rules import Rule

if TYPE_CHECKING:
    import pandas as pd


def validate_rows(frame: pd.DataFrame, rules: Sequence[Rule], name: str, run: str, docs: Path) -> list[tuple[str, ...]]:
    """Evaluate the rules on every row of `frame`, and write the Data Docs page of this run.

    Args:
        frame: One row per clip, with `id` and every column that the rules name; empty text is None.
        rules: What is expected of the rows.
        name: Name of the suite, such as ``plant-a-asr``.
        run: Name of the run: the delivery's.
        docs: Folder of the Data Docs, with ``index.html`` at the top.

    Returns:
        For each rule, the ids of the clips that broke it.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        # it imports modules of the standard library that are deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        return _validate(frame, rules, name, run, docs)


def _validate(frame: pd.DataFrame, rules: Sequence[Rule], name: str, run: str, docs: Path) -> list[tuple[str, ...]]:
    import great_expectations as gx
    from great_expectations.checkpoint import Checkpoint, UpdateDataDocsAction

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    for site, config in dict(context.list_data_docs_sites()).items():
        context.delete_data_docs_site(site)
        # the context makes this folder for its default site, and never removes it
        shutil.rmtree(config["store_backend"]["base_directory"], ignore_errors=True)
    context.add_data_docs_site("docs", _site(docs))
    suite = context.suites.add(gx.ExpectationSuite(name=name))
    for number, rule in enumerate(rules):
        suite.add_expectation(_expectation(rule, number))
    batch = context.data_sources.add_pandas("intake").add_dataframe_asset("delivery")
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=name, data=batch.add_batch_definition_whole_dataframe(run), suite=suite)
    )
    checkpoint = context.checkpoints.add(
        Checkpoint(
            name=name,
            validation_definitions=[definition],
            actions=[UpdateDataDocsAction(name="docs")],
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["id"]},
        )
    )
    result = checkpoint.run(batch_parameters={"dataframe": frame}, run_id=gx.RunIdentifier(run_name=run))
    return _outcomes(result, rules)


def _outcomes(result: Any, rules: Sequence[Rule]) -> list[tuple[str, ...]]:
    broken: dict[int, tuple[str, ...]] = {}
    for validation in result.run_results.values():
        for outcome in validation.results:
            if outcome.exception_info and outcome.exception_info.get("raised_exception"):
                raise RuntimeError(f"Great Expectations could not evaluate a rule: {outcome.exception_info}")
            ids = (str(row["id"]) for row in outcome.result.get("unexpected_index_list") or ())
            broken[outcome.expectation_config.meta["rule"]] = tuple(ids)
    return [broken[number] for number in range(len(rules))]


def _expectation(rule: Rule, number: int) -> Any:
    import great_expectations.expectations as gxe

    # two rules can have the same expectation on the same column: the number distinguishes their results
    common = {"column": rule.column, "meta": {"rule": number, "reason": rule.reason}}
    match rule.kind:
        case "between":
            return gxe.ExpectColumnValuesToBeBetween(min_value=rule.minimum, max_value=rule.maximum, **common)
        case "matches":
            return gxe.ExpectColumnValuesToMatchRegex(regex=rule.pattern, **common)
        case "present":
            return gxe.ExpectColumnValuesToNotBeNull(**common)
        case "among":
            return gxe.ExpectColumnValuesToBeInSet(value_set=list(rule.values), **common)
        case "unique":
            return gxe.ExpectColumnValuesToBeUnique(**common)


def _site(docs: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
    }
