"""The command line: run, explore, replay and show scenarios, and the demonstration.

Commands live in modules of their own and are imported when they are asked for, so that
``--help`` is quick and a command that needs an optional library hurts nobody else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import click

from lumenize_sim.cli.exits import Exit, report_error

__all__ = ["COMMANDS", "main"]

#: Command to (module, one line of help), in the order of `--help`.  The module has a click command called ``command``,
#: or like itself.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "run": ("lumenize_sim.cli.run", "Run a scenario once and write its tape."),
    "explore": ("lumenize_sim.cli.explore", "Run a scenario under many schedules; shrink and explain what fails."),
    "replay": ("lumenize_sim.cli.replay", "Run again from a tape, exactly."),
    "show": ("lumenize_sim.cli.show", "Show a tape or a trace: tree, timeline, diagram, page, choices."),
    "demo": ("lumenize_sim.cli.demo", "What this package does, on the scenarios that come with it."),
    "serve": ("lumenize_sim.cli.serve", "Run a mesh for real, on web sockets and SQLite files."),
}

_EPILOG = """\b
Exit codes:
  0    passed
  1    the property failed (or the replayed failure did)
  2    usage: a wrong argument, file or scenario
  3    the simulator itself is at fault
  4    a replay diverged from its tape
  130  interrupted
"""


class _Commands(click.Group):
    """A group that imports its commands late, and turns every ending into one of the documented exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands whose module is there; nothing is imported."""
        return [name for name, (module, _) in COMMANDS.items() if find_spec(module) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, "command", None) or getattr(module, cmd_name)
        command.epilog = command.epilog or _EPILOG
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and leave the process with its exit code."""
        for stream in (sys.stdout, sys.stderr):
            # A terminal that cannot write "—" shows "?" instead of our traceback.
            getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
        try:
            code = super().main(args, "lumenize-sim", complete_var, standalone_mode=False, **extra)
        except BaseException as error:
            code = report_error(error, sys.argv[1:] if args is None else list(args))
        sys.exit(code if isinstance(code, int) else Exit.PASSED)


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Run a mesh of Durable Objects, Workers and clients under a scheduler that owns every wake-up, and replay any "
    "run exactly.",
)
@click.version_option(package_name="lumenize_sim", message="%(prog)s %(version)s")
def main() -> None:
    """Each command is an entry of `COMMANDS`."""
