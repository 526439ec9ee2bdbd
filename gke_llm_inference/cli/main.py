"""The command `gke-llm-inference` and its subcommands, one module for each.

Modules of subcommands import what they run only when they run, so that help, completion and `plan` start at once.
"""

import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from gke_llm_inference.cli import dashboard, diff, images, models, new, optimize, plan, policy, preview, quota, settings
from gke_llm_inference.cli.failures import EXIT_INTERRUPTED, EXIT_USAGE, fail, interrupted
from gke_llm_inference.version import __version__

PROGRAM = "gke-llm-inference"


class Command(TyperGroup):
    """The whole command: whatever a subcommand raises becomes one form of message and an exit code.

    It has one name, also as `python -m gke_llm_inference`: shells complete that name, and no shell completes `python`.
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> int:
        """Runs a subcommand and returns the exit code; ends the process with it in `standalone_mode`."""
        try:
            code = super().main(args, prog_name or PROGRAM, complete_var, False, windows_expand_args, **extra)
            code = interrupted() if code == EXIT_INTERRUPTED else int(code or 0)
        except (KeyboardInterrupt, typer.Abort):
            code = interrupted()
        except Exception as error:
            code = fail(error, sys.argv[1:] if args is None else args)
        if standalone_mode:
            sys.exit(code)
        return code


app = typer.Typer(
    cls=Command,
    help="Open LLMs on GKE with vLLM or TGI: planned, checked and shown before anything is created.",
    epilog="Exit codes: 0 fine; 1 the configuration or the program is wrong, or a mandatory policy is violated; "
    "2 usage; 130 interrupted.",
    # Plain help: it needs nothing else to be loaded, and is the same wherever it goes.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if not asked:
        return
    print(__version__)
    raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    signal.signal(signal.SIGTERM, _terminated)
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(EXIT_USAGE)


app.command("preview")(preview.preview)
app.command("diff")(diff.diff)
app.command("plan")(plan.plan)
app.command("models")(models.models)
app.add_typer(settings.app, name="settings")
app.command("policy")(policy.policy)
app.command("images")(images.images)
app.command("dashboard")(dashboard.dashboard)
app.command("quota")(quota.quota)
app.command("optimize")(optimize.optimize)
app.command("new")(new.new)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand and returns its exit code."""
    code: int = app(arguments, standalone_mode=False)
    return code


def _terminated(number: int, frame: object) -> NoReturn:  # noqa: ARG001
    raise SystemExit(128 + number)
