"""Great Expectations: evaluate rules on a table of clips, row by row, and write the Data Docs.

Its import takes seconds of processor time: for a delivery a process of its own does it, while the clips are measured.
"""

from __future__ import annotations

import contextlib
import html
import importlib
import os
import pickle
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from elp_core.errors import OpsError
from pipelines.datasets.clip_rules import Rule
from pipelines.datasets.offline_docs import make_offline
from pipelines.quick_imports import quick_imports, skip_grammar

if TYPE_CHECKING:
    import pandas as pd

Validate = Callable[["pd.DataFrame", Sequence[Rule], str, str, Path], list[tuple[str, ...]]]
"""A function that does what `validate_rows` does."""


@contextlib.contextmanager
def validation_process() -> Iterator[Validate]:
    """Start a process that imports Great Expectations; yield the function that evaluates rules in it.

    The function raises what `validate_rows` raises, and OpsError if Great Expectations fails in another way.
    """
    if "great_expectations" in sys.modules:
        # the import is done: another process would only do it again
        yield validate_rows
        return
    # not multiprocessing: its children import the parent's main module again, which in a flow run is all of Prefect
    command = [sys.executable, "-P", "-m", "pipelines.datasets.expectations"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    requests, answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)

    def validate(*request: Any) -> list[tuple[str, ...]]:
        try:
            pickle.dump(request, requests)
            requests.flush()
            found, failure = pickle.load(answers)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise OpsError(f"Great Expectations ended with code {process.wait()}; try again") from error
        if failure:
            raise failure
        return list(found)

    try:
        yield validate
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    """Answer the requests on standard input until it ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # what Great Expectations prints must not get among the answers
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Ctrl-C reaches this process too, and the caller ends it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # a missing package is the answer to the first request
    with contextlib.suppress(ImportError):
        import_great_expectations()
    with contextlib.suppress(EOFError):
        while True:
            pickle.dump(_answer(pickle.load(sys.stdin.buffer)), answers)
            answers.flush()


def _answer(request: tuple[Any, ...]) -> tuple[list[tuple[str, ...]], Exception | None]:
    """Return what `validate_rows` returns, and what it raises, if that is an error with a sentence of its own."""
    try:
        return validate_rows(*request), None
    except (OSError, ImportError, OpsError) as error:
        return [], error
    except Exception as error:
        # errors of libraries may not survive the way to the caller, and their traceback does not
        failure = OpsError(f"Great Expectations could not evaluate the rules: {type(error).__name__}: {error}")
        failure.add_note(traceback.format_exc())
        return [], failure


def import_great_expectations() -> None:
    """Import what `validate_rows` needs."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    skip_grammar()
    with quick_imports(), warnings.catch_warnings():
        # it imports modules of the standard library that are deprecated, and Google's client if that is installed
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", ImportWarning)
        importlib.import_module("great_expectations.checkpoint")
        importlib.import_module("great_expectations.expectations")


def validate_rows(frame: pd.DataFrame, rules: Sequence[Rule], name: str, run: str, docs: Path) -> list[tuple[str, ...]]:
    """Return for each rule the ids of the clips that broke it, and write the run's page to the Data Docs in `docs`.

    `frame` has a row per clip, with `id` and every column of the rules; empty text is None. `name` is the suite's, such
    as ``plant-a-asr``; `run` is the delivery's.
    """
    import_great_expectations()
    import great_expectations as gx
    from great_expectations.checkpoint import Checkpoint, UpdateDataDocsAction

    context = gx.get_context(mode="ephemeral", project_config=_project(docs))
    # as a whole: a suite that is in the context is stored again with each expectation that is added
    expectations = [_expectation(rule, number) for number, rule in enumerate(rules)]
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
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
    # it tries to read a name as a time, and leaves out the page of a digest that is too large a number
    run_id = gx.RunIdentifier(run_name=f"delivery {run}", run_time=datetime.now(UTC))
    result = checkpoint.run(batch_parameters={"dataframe": frame}, run_id=run_id)
    make_offline(docs)
    return _outcomes(result, rules)


def _project(docs: Path) -> Any:
    """Return the configuration of a context in memory, with one site of Data Docs in `docs`.

    As a whole: a context writes its configuration again, as YAML, with each of its parts that is changed.
    """
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    builder = {"class_name": "SiteBuilder", "show_how_to_buttons": False, "site_index_builder": index}
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={"docs": builder | {"store_backend": store}},
        progress_bars={"globally": False},
    )


def _outcomes(result: Any, rules: Sequence[Rule]) -> list[tuple[str, ...]]:
    broken: dict[int, tuple[str, ...]] = {}
    for validation in result.run_results.values():
        for outcome in validation.results:
            # one record, or one for each metric that the rule needs
            info = outcome.exception_info or {}
            for raised in (info, *info.values()):
                if isinstance(raised, dict) and raised.get("raised_exception"):
                    reason = outcome.expectation_config.meta["reason"]
                    raise OpsError(f"Great Expectations could not evaluate {reason}: {raised['exception_message']}")
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
        case "absent":
            return gxe.ExpectColumnValuesToBeNull(**common)
        case "among":
            return gxe.ExpectColumnValuesToBeInSet(value_set=list(rule.values), **common)
        case "unique":
            return gxe.ExpectColumnValuesToBeUnique(**common)
        case "counted":
            # Great Expectations writes a description into its pages as it stands
            return gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(
                min_value=0.0, description=html.escape(rule.words), **common
            )


if __name__ == "__main__":
    main()
