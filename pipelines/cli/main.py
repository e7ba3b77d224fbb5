"""The command `elp`: finds the verb, runs it, and turns errors into one screen and an exit code.

Exit codes: 0 done, 1 it failed, 2 wrong usage, 3 the gate refused, 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from elp_core.errors import ElpError
from pipelines.local.environment import offline_environment

VERBS: dict[str, dict[str, tuple[str, str]]] = {
    "Setup": {
        "init": ("pipelines.cli.init_verb:init", "Make a workspace: Git, DVC, elp.yaml."),
        "up": ("pipelines.cli.service_verbs:up", "Start the local servers and workers."),
        "down": ("pipelines.cli.service_verbs:down", "Stop the local servers and workers."),
        "status": ("pipelines.cli.service_verbs:status", "Show servers, workers and addresses."),
        "users": ("pipelines.cli.users_verbs:users", "Say who may log in, and what they may do."),
        "doctor": ("pipelines.cli.doctor_verb:doctor", "Check everything the work needs."),
        "keys": ("pipelines.cli.keys_verbs:keys", "Keys that sign lineages, verdicts and the ledger."),
        "demo": ("pipelines.cli.demo_verbs:demo", "Run the main job on the embedded corpus."),
    },
    "Data": {
        "data": ("pipelines.cli.data_verbs:data", "Take in audio, list and show dataset versions."),
    },
    "Adapters": {
        "train": ("pipelines.cli.flow_verbs:train", "Train an adapter on a dataset version."),
        "gate": ("pipelines.cli.flow_verbs:gate", "Check a candidate against the champion."),
        "promote": ("pipelines.cli.registry_verbs:promote", "Make a passed challenger the champion."),
        "approve": ("pipelines.cli.override_verbs:approve", "Let a version serve that another user asked for."),
        "withdraw": ("pipelines.cli.override_verbs:withdraw", "End an override before its time."),
        "rollback": ("pipelines.cli.registry_verbs:rollback", "Bring the previous champion back."),
        "retire": ("pipelines.cli.registry_verbs:retire", "Leave a slot without champion."),
        "audit": ("pipelines.cli.audit_verbs:audit", "Show where an adapter came from, and who learned from whom."),
        "forget": ("pipelines.cli.audit_verbs:forget", "Plan the erasure of a speaker or a clip."),
        "run": ("pipelines.cli.registry_verbs:run", "Answer a file (words, emotion, intent), or compare voices."),
        "compare": ("pipelines.cli.compare_verb:compare", "Compare methods on a slot's data, with a report."),
        "adapters": ("pipelines.cli.registry_verbs:adapters", "List a workspace's adapters."),
    },
    "Operations": {
        "retrain": ("pipelines.cli.flow_verbs:retrain", "Data to verdict for one slot, or for all."),
        "schedule": ("pipelines.cli.schedule_verbs:schedule", "Retrain on a schedule."),
    },
}
"""Group -> verb -> (its click command, its line in the help). The line is here so that help imports no verb."""


class LazyGroup(click.Group):
    """Imports a verb's module only when that verb runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the verbs in the order of the help."""
        return [name for verbs in VERBS.values() for name in verbs]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the verb's command, or None for an unknown name."""
        for verbs in VERBS.values():
            if name in verbs:
                module, _, attribute = verbs[name][0].partition(":")
                command: click.Command = getattr(importlib.import_module(module), attribute)
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, and an unknown verb names the nearest known one."""
        import difflib

        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f"did you mean: elp {near[0]}" if near else "see: elp --help"
            raise click.UsageError(f"unknown verb {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs by group, without importing any."""
        for group, verbs in VERBS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(9), line) for name, (_, line) in verbs.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-w", "--workspace", type=click.Path(path_type=Path), metavar="DIR", help="The workspace to work in.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (may stand anywhere).")
@click.version_option(package_name="elp-foundry", prog_name="elp")
@click.pass_context
def cli(ctx: click.Context, workspace: Path | None, debug: bool) -> None:
    """ELP Foundry: from audio to a gated adapter.

    A slot is written SITE/TASK, such as plant-a/asr. Every verb has its own --help.
    """
    ctx.obj = {"workspace": workspace, "debug": debug}


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run `elp` and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run `elp` with these arguments and return the exit code; never raises."""
    debug = "--debug" in arguments or os.environ.get("ELP_DEBUG") == "1"
    for name, value in offline_environment().items():
        os.environ.setdefault(name, value)
    try:
        result = cli.main([a for a in arguments if a != "--debug"], prog_name="elp", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # the reader (such as `head`) has gone: nothing more to say, and nothing may be written at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _report(error, debug)


def _report(error: Exception, debug: bool) -> int:
    """Say what went wrong on one screen; the exit code."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, ElpError):
        click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)
        return error.exit_code
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" at {error.filename}" if error.filename else ""
        click.echo(f"error: the disk is full{where}; free some space and run the command again", err=True)
        return 1
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}; see who owns it, and run the command again", err=True)
        return 1
    click.echo(_unexpected(error), err=True)
    return 1


def _unexpected(error: Exception) -> str:
    message = str(error).strip() or "no message"
    first = "\n".join(message.splitlines()[:15])
    return f"error: unexpected {type(error).__name__}: {first}\n(this is a fault of elp: --debug shows the traceback)"


def verbs() -> dict[str, Any]:
    """Every verb and where it is implemented; the documentation's test reads it."""
    return {name: target for group in VERBS.values() for name, (target, _) in group.items()}


if __name__ == "__main__":
    main()
