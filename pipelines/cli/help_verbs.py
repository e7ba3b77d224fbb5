"""`elp help` and `elp completion`."""

import click

SHELLS = ("bash", "zsh", "fish")


@click.command(name="help")
@click.argument("command", nargs=-1)
@click.pass_context
def help_verb(ctx: click.Context, command: tuple[str, ...]) -> None:
    """Show the help of a command, such as: elp help data add. Without one, the list of all."""
    root = ctx.find_root()
    if command:
        root.command.main([*command, "--help"], prog_name="elp", standalone_mode=False)
    else:
        click.echo(root.get_help())


@click.command(name="completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_verb(ctx: click.Context, shell: str) -> None:
    """Print the completion of verbs, options, slots and versions for a shell.

    \b
    bash:  echo 'eval "$(elp completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(elp completion zsh)"' >> ~/.zshrc
    fish:  elp completion fish > ~/.config/fish/completions/elp.fish
    """
    from click.shell_completion import get_completion_class

    from pipelines.cli.bash_completion import BashLineComplete

    found = BashLineComplete if shell == "bash" else get_completion_class(shell)
    assert found is not None
    # with the class's own check of bash, an old bash is refused only when the script is used
    completion = found(ctx.find_root().command, {}, "elp", "_ELP_COMPLETE")
    click.echo(completion.source_template % completion.source_vars())
