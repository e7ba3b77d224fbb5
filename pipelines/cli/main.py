"""The command `elp`: find the verb, run it, and turn an error into one screen and an exit code.

Exit codes: 0 done, 1 it failed, 2 wrong usage, 3 the gate refused, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import pkgutil
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.errors import ElpError
from pipelines.local.environment import OFFLINE
from pipelines.outages import DISK_FULL

INSTALL = "install the operations part with: pip install 'elp-foundry[pipelines]'"

try:
    import click
except ModuleNotFoundError as error:
    raise SystemExit(f"error: elp needs the Python package {error.name}, which is missing; {INSTALL}") from error

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VERBS: dict[str, dict[str, tuple[str, str]]] = {
    "Setup": {
        "init": ("setup_verbs:init", "Make a workspace: Git, DVC, elp.yaml."),
        "up": ("setup_verbs:up_verb", "Start the local servers and workers."),
        "down": ("setup_verbs:down_verb", "Stop the local servers and workers."),
        "worker": ("worker_verbs:worker", "Run the workers of this machine, and enrol them."),
        "status": ("setup_verbs:status", "Show servers, workers and addresses."),
        "users": ("access_verbs:users", "Manage who may log in, and with which roles."),
        "doctor": ("setup_verbs:doctor", "Check everything the work needs."),
        "keys": ("access_verbs:keys", "Manage the keys that sign lineages, verdicts and the ledger."),
        "api-keys": ("serve_verbs:api_keys", "Manage the keys of the clients of elp serve."),
        "completion": ("help_verbs:completion_verb", "Print the completion for bash, zsh or fish."),
        "help": ("help_verbs:help_verb", "Show the help of a command."),
        "demo": ("setup_verbs:demo", "Run the main job on the embedded corpus."),
    },
    "Data": {
        "data": ("data_verbs:data", "Take in audio, list and show dataset versions."),
        "inbox": ("inbox_verbs:inbox", "List what was dropped into the inboxes, and try refused deliveries again."),
        "erasure": ("audit_verbs:erasure", "Plan the erasure of a speaker or a clip."),
    },
    "Adapters": {
        "train": ("flow_verbs:train_verb", "Train an adapter on a dataset version."),
        "gate": ("flow_verbs:gate_verb", "Check a candidate against the champion."),
        "promote": ("registry_verbs:promote_verb", "Make a passed challenger the champion."),
        "approve": ("registry_verbs:approve_verb", "Approve the override that another user asked for."),
        "withdraw": ("registry_verbs:withdraw_verb", "End an override before its time."),
        "rollback": ("registry_verbs:rollback_verb", "Bring the previous champion back."),
        "retire": ("registry_verbs:retire_verb", "Leave a slot without champion."),
        "versions": ("registry_verbs:versions_group", "List the adapters of a workspace."),
        "audit": ("audit_verbs:audit", "Show where an adapter came from, and what it was trained on."),
        "predict": ("predict_verb:predict_verb", "Recognise words, emotion or intent in a file, or compare voices."),
        "serve": ("serve_verbs:serve_verb", "Answer requests with the champions over HTTP."),
        "requests": ("requests_verbs:requests", "Show what elp serve has answered and logged, and remove it."),
        "enrol": ("enrol_verbs:enrol_group", "Enrol voices, compare recordings with them, renew them."),
        "compare": ("compare_verb:compare", "Compare methods on a slot's data, with a report."),
        "tune": ("tune_verb:tune_verb", "Search for a smaller or better configuration of a slot."),
        "backbone": ("backbone_verbs:backbone", "Record licences of backbones; change the backbone site by site."),
        "sweep": ("sweep_verb:sweep_verb", "Measure how the champion degrades under simulated conditions."),
        "report": ("report_verbs:site_report_verb", "Write a page for a manager on the adapters of a site."),
        "poc": ("report_verbs:poc_verb", "Write a one-page plan of a proof of concept at a site."),
    },
    "Operations": {
        "gc": ("gc_verbs:gc", "Show what the retention keeps and removes, and why; remove it."),
        "hold": ("hold_verbs:hold", "Keep a slot, a version or a speaker's recordings until a date."),
        "retrain": ("flow_verbs:retrain_verb", "Run from data to verdict for one slot, or for all."),
        "runs": ("run_verbs:runs_verb", "List the runs of a slot, or of all slots."),
        "logs": ("run_verbs:logs_verb", "Print the log of a run, or follow it."),
        "cancel": ("run_verbs:cancel_verb", "Cancel a run."),
        "schedule": ("schedule_verbs:schedule", "Retrain on a schedule."),
        "monitor": ("monitor_verb:monitor_verb", "Find out whether the audio of a site has changed."),
        "alerts": ("alert_verbs:alerts", "Send messages about failures, refusals, drift and overrides."),
    },
    "Boxes": {
        "pull": ("pull_verbs:pull_verb", "Bring this box to the champions of a site."),
        "export": ("pull_verbs:export_verb", "Write what the boxes of a site need onto a medium."),
        "box": ("box_verbs:box", "Show what boxes run, enrol them, and go back to the set before."),
        "root": ("root_verbs:root", "Make, sign and hand out the offline root that boxes trust."),
    },
}
"""Group -> verb -> (module and function of its command, its line in the help). Help imports no verb's module."""


class LazyGroup(click.Group):
    """A group that imports the module of a verb only to run that verb."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the help."""
        return list(verbs())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a verb's command; None means that there is no such verb."""
        target = verbs().get(name)
        if target is None:
            return None
        command: click.Command = pkgutil.resolve_name(f"pipelines.cli.{target}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb by its present or its old spelling; refuse an unknown one and name the nearest."""
        from pipelines.cli.old_spellings import translate

        # before click looks for the verb, so that an old spelling needs no command of its own; completion has none
        if not ctx.resilient_parsing:
            args = translate(args)
        if args[0] not in verbs() and not args[0].startswith("-"):
            from pipelines.cli.known_slots import nearest

            near = nearest(args[0], verbs())
            hint = f"did you mean: elp {near}" if near else "see: elp --help"
            raise click.UsageError(f"unknown verb {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the verbs and options that begin so, without importing any verb."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        lines = [(name, line) for group in VERBS.values() for name, (_, line) in group.items()]
        return [CompletionItem(name, help=line) for name, line in lines if name.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs by group, without importing any."""
        for group, listed in VERBS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(10), line) for name, (_, line) in listed.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-w", "--workspace", type=click.Path(path_type=Path), metavar="DIR", help="The workspace to work in.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (at any place of the command line).")
@click.version_option(package_name="elp-foundry", prog_name="elp")
@click.pass_context
def cli(ctx: click.Context, workspace: Path | None, debug: bool) -> None:
    """ELP Foundry: from audio to a gated adapter.

    A slot is written SITE/TASK, such as plant-a/asr. Every verb has its own --help.
    """
    ctx.obj = workspace
    from pipelines.cli.output import colour_wanted

    # the contexts of the verbs take it from here
    ctx.color = colour_wanted()
    from pipelines.cli.box_hints import note_box

    # a verb that works in a box says so
    note_box(None)


def main(arguments: list[str] | None = None) -> None:
    """Run `elp` and exit with its code: the entry point."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run `elp` with these arguments and return the exit code. Every error is printed, none is raised."""
    if os.environ.get("_ELP_COMPLETE", "").startswith("bash"):
        from click.shell_completion import add_completion_class

        from pipelines.cli.bash_completion import BashLineComplete

        add_completion_class(BashLineComplete, "bash")
    debug = "--debug" in arguments or os.environ.get("ELP_DEBUG") == "1"
    # before a verb imports a tool that reads them
    for name, value in OFFLINE.items():
        os.environ.setdefault(name, value)
    try:
        # --debug is taken out here: click accepts an option of a group only before the verb
        result = cli.main([a for a in arguments if a != "--debug"], prog_name="elp", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # the reader (such as `head`) is gone: Python must not write at exit either, or it prints an error of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        from pipelines.cli.box_hints import with_box
        from pipelines.cli.output import colour_wanted

        sentence = with_box(_sentence(error))
        text = f"{click.style('error:', fg='red', bold=True)} {sentence}{_slot_hint(error, arguments)}"
        click.echo(text, err=True, color=colour_wanted())
        return error.exit_code if isinstance(error, ElpError) else 1


def _slot_hint(error: Exception, arguments: list[str]) -> str:
    """Return a line with the slot that was meant, if a named one is not in the workspace and another is spelt alike."""
    from pipelines.cli.known_slots import meant_slot

    meant = meant_slot(arguments) if isinstance(error, ElpError) else ""
    return f"\ndid you mean {meant}?" if meant else ""


def _sentence(error: Exception) -> str:
    """Return what went wrong and what to do next."""
    if isinstance(error, ElpError):
        return str(error)
    # a missing module of this repository is a fault, and installing something would not help
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] not in ("pipelines", "elp_core"):
        return f"the Python package {error.name} is missing; {INSTALL}"
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        place = f" at {error.filename}" if error.filename else ""
        return f"the disk is full{place}; free some space and run the command again"
    if isinstance(error, OSError) and (isinstance(error, PermissionError) or error.errno == errno.EROFS):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}; check the owner and the permissions, and run the command again"
    message = "\n".join((str(error).strip() or "no message").splitlines()[:15])
    return f"unexpected {type(error).__name__}: {message}\n(this is a fault of elp: --debug shows the traceback)"


def verbs() -> dict[str, str]:
    """Return the verbs and where each is implemented."""
    return {name: target for group in VERBS.values() for name, (target, _) in group.items()}


if __name__ == "__main__":
    main()
