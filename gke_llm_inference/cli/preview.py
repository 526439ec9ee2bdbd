"""The subcommands `preview`, `policy` and `diff`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from gke_llm_inference.cli.diff import parser as diff_parser
from gke_llm_inference.cli.diff import run as run_diff
from gke_llm_inference.errors import CommandError, ConfigError, UsageError
from gke_llm_inference.preview.errors import OutputError, ProgramError
from gke_llm_inference.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gke_llm_inference.policy.preview_check import Report
    from gke_llm_inference.preview.recording import Recording
    from gke_llm_inference.pulumi_protocol.masking import Vault

EXIT_FINE = 0
EXIT_WRONG = 1
"""The configuration or the program is wrong, a mandatory policy is violated, or the results could not be written."""
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_DEFAULT_TIMEOUT = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    On failure stdout stays empty and nothing is written; a violated policy is a result, not a failure.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    run = _diff if given[:1] == ["diff"] else _preview
    options = diff_parser().parse_args(given[1:]) if run is _diff else _parser().parse_args(given)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except ProgramError as error:
        _report(error)
        return EXIT_WRONG
    except UsageError as error:
        _complain(str(error))
        return EXIT_USAGE
    except CommandError as error:
        _complain(str(error))
        return EXIT_WRONG
    except BrokenPipeError:
        # The reader (`| head`) has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gke_llm_inference preview",
        description="Show what a Pulumi program would create, without cloud, credentials or the Pulumi CLI.",
        epilog="`python -m gke_llm_inference diff --help`: what changes between two revisions. "
        "Exit codes: 0 fine, 1 the configuration or the program is wrong or a mandatory policy is violated, 2 usage.",
        allow_abbrev=False,
    )
    parser.add_argument("--stack", metavar="NAME", help="the stack to preview (reads Pulumi.NAME.yaml)")
    parser.add_argument(
        "--config-file",
        metavar="PATH",
        type=Path,
        help="a stack's file anywhere; may be combined with --stack",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="write resources.json and manifests/ into this directory"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    parser.add_argument("--policy", action="store_true", help="check the policies of the stack's environment too")
    parser.add_argument(
        "--policy-config",
        metavar="FILE",
        type=Path,
        help="levels and settings over the environment's, as for pulumi's --policy-pack-config; implies --policy",
    )
    parser.add_argument(
        "--project-dir",
        metavar="DIR",
        type=Path,
        help="the project (default: the nearest Pulumi.yaml from here upward)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=_DEFAULT_TIMEOUT,
        help=f"kill the program after this time (default: {_DEFAULT_TIMEOUT:g})",
    )
    return parser


def _diff(options: argparse.Namespace) -> int:
    text, is_fine = run_diff(options)
    _print(text)
    return EXIT_FINE if is_fine else EXIT_WRONG


def _preview(options: argparse.Namespace) -> int:
    if options.stack is None and options.config_file is None:
        raise UsageError("name a stack with --stack or its file with --config-file")
    from gke_llm_inference.preview.run import record
    from gke_llm_inference.pulumi_project.project import find_project_directory

    directory = options.project_dir
    if directory is None:
        directory = find_project_directory(Path.cwd(), Path(__file__).resolve().parents[2])
    recording = record(directory, options.stack, options.config_file, timeout=options.timeout)
    report = _check(recording, directory, options) if options.policy or options.policy_config else None
    _deliver(recording, report, options)
    return EXIT_FINE if report is None or report.passed else EXIT_WRONG


def _check(recording: Recording, directory: Path, options: argparse.Namespace) -> Report:
    from gke_llm_inference.policy.configuration import ENVIRONMENT_KEY
    from gke_llm_inference.policy.preview_check import check_recording
    from gke_llm_inference.pulumi_project.project import load_project, load_stack
    from gke_llm_inference.settings.findings import Refusal

    config = load_stack(load_project(directory), options.stack, options.config_file)
    try:
        return check_recording(recording, config.values.get(ENVIRONMENT_KEY), options.policy_config)
    except Refusal as refusal:
        raise ConfigError("\n".join(map(str, refusal.problems))) from None


def _deliver(recording: Recording, report: Report | None, options: argparse.Namespace) -> None:
    from gke_llm_inference.preview.manifests import manifests_of
    from gke_llm_inference.preview.render import Style, render_document, render_text
    from gke_llm_inference.preview.write import to_json, write_preview

    if report is not None:
        from gke_llm_inference.policy.preview_check import report_text

    vault = recording.vault
    manifests = manifests_of(recording)
    files: tuple[str, ...] = ()
    if options.out is not None:
        resources = to_json(vault.mask_value(recording.as_dict()))
        for text in (resources, *(part for item in manifests for part in (item.file_name, item.text))):
            _assert_clean(vault, text)
        written = write_preview(options.out, resources, manifests)
        files = tuple(str(options.out / path) for path in written)
    _show_output(recording, sys.stderr if options.json else sys.stdout)
    if options.json:
        document = render_document(recording, files=files)
        if report is not None:
            document["policies"] = report.as_dict()
        text = to_json(vault.mask_value(document))
        _assert_clean(vault, text)
    else:
        style = Style(colour=_wants_colour(), ascii_only=not _shows("├×"))
        text = render_text(recording, manifests=manifests, files=files, style=style)
        if report is not None:
            text += f"\n{report_text(report)}"
        text = vault.mask(text)
    _print(text)


def _assert_clean(vault: Vault, text: str) -> None:
    """The last search: all of it was masked before, so a secret found here is a fault of the preview's."""
    if vault.found_in(text):
        raise OutputError("a secret value is left in what would be written; nothing was written")


def _show_output(recording: Recording, stream: TextIO) -> None:
    for text, target in ((recording.program_stdout, stream), (recording.program_stderr, sys.stderr)):
        for line in text.splitlines():
            print(f"program: {printable(line)}", file=target)
    stream.flush()


def _print(text: str) -> None:
    # Whatever the encoding of the terminal, showing a name must not fail.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    sys.stdout.write(text)
    sys.stdout.flush()


def _shows(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _wants_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _report(error: ProgramError) -> None:
    for text in error.output:
        for line in text.splitlines():
            print(f"program: {printable(line)}", file=sys.stderr)
    for warning in error.warnings:
        print(f"warning: {printable(warning, lines=True)}", file=sys.stderr)
    for problem in error.problems:
        _complain(problem)


def _complain(message: str) -> None:
    print(f"error: {printable(message, lines=True)}", file=sys.stderr)


def _terminated(number: int, frame: object) -> NoReturn:  # noqa: ARG001
    raise SystemExit(128 + number)
