"""The command line: `up`, `status` and `down` of a stack."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gke_llm_inference.errors import CommandError, UsageError
from gke_llm_inference.pulumi_project.project import find_project_directory, load_project, load_stack
from gke_llm_inference.settings import Refusal
from gke_llm_inference.terminal import printable
from local.gke.errors import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STACK = "local"
_EXTRA_PACKAGES = ("cryptography", "kubernetes")
EXIT_FINE, EXIT_WRONG, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None, on_begin: Callable[[], object] | None = None) -> int:
    """Runs the command; 0 fine, 1 it failed, 2 usage, 130 interrupted.

    Args:
        arguments: those of the command line, unless given.
        on_begin: called once everything is imported, before anything is done.

    """
    options = _parser().parse_args(arguments)
    try:
        if options.stack == STACK:
            _import_local()
        if on_begin is not None:
            on_begin()
        directory = find_project_directory(Path.cwd(), Path(__file__).resolve().parents[2])
        if options.stack == STACK:
            return _local(options.command, directory)
        return _elsewhere(options.command, options.stack, directory)
    except UsageError as error:
        return _complain(str(error), EXIT_USAGE)
    except (CommandError, Refusal) as error:
        return _complain(str(error), EXIT_WRONG)
    except OSError as error:
        return _complain(explained(error), EXIT_WRONG)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on from here", EXIT_INTERRUPTED)


def _import_local() -> None:
    """What the stack on this machine needs beside the rest is installed for it only."""
    try:
        import local.engine.local  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA_PACKAGES:
            raise
        raise CommandError(f"{error.name} is not installed; `make up` installs it") from None


def _local(command: str, directory: Path) -> int:
    from local.engine import local

    project = load_project(directory)
    if command == "down":
        return local.down(local.LocalFiles(project))
    return {"up": local.up, "status": local.status}[command](local.LocalStack.read(project))


def _elsewhere(command: str, stack: str, directory: Path) -> int:
    """Every other stack is deployed by Pulumi's own CLI, with its preview and its question."""
    load_stack(load_project(directory), stack, None)
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        raise CommandError(
            f"stack '{stack}' is deployed by the Pulumi CLI, which is not on PATH\n"
            "  why: it needs the plugins of Google Cloud and Kubernetes, your backend and your credentials\n"
            f"  fix: install it (https://www.pulumi.com/docs/install/), then: pulumi stack init {stack}"
        )
    arguments = {"up": ["up"], "down": ["destroy"], "status": ["stack"]}[command]
    process = subprocess.Popen([pulumi, *arguments, "--stack", stack], cwd=directory)  # noqa: S603 - the CLI found
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 128 - code
        except KeyboardInterrupt:
            continue  # it reached the CLI too, which saves its state before it ends


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.engine",
        description="Deploy a stack with the Pulumi engine; the stack `local` on this machine, on simulated nodes.",
        epilog="Exit codes: 0 fine, 1 it failed, 2 usage, 130 interrupted.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("up", "deploy the stack, and show what runs"),
        ("status", "show what runs"),
        ("down", "delete the stack; for `local`, the control plane and every file too"),
    ):
        command = commands.add_parser(name, help=text, allow_abbrev=False)
        command.add_argument("--stack", metavar="NAME", default=STACK, help=f"the stack (default: {STACK})")
    return parser


def _complain(message: str, code: int) -> int:
    print(f"error: {printable(message, lines=True)}", file=sys.stderr)
    return code
