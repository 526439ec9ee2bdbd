"""The subcommand `python -m gke_llm_inference diff`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gke_llm_inference.errors import UsageError
from gke_llm_inference.preview.errors import OutputError
from gke_llm_inference.pulumi_project.project import find_project_directory

if TYPE_CHECKING:
    from gke_llm_inference.diff.report import Report
    from gke_llm_inference.pulumi_protocol.masking import Vault

_DEFAULT_TIMEOUT = 120.0

COMMENT_FILE = "comment.md"
TEXT_FILE = "report.txt"
DOCUMENT_FILE = "report.json"


def parser() -> argparse.ArgumentParser:
    """The subcommand's options."""
    parser = argparse.ArgumentParser(
        prog="python -m gke_llm_inference diff",
        description="Show what changes between two revisions of a stack, without cloud, credentials or the Pulumi CLI.",
        epilog="Exit codes: 0 fine, whether anything changes or not, and also if the base cannot be had; "
        "1 this revision's configuration or program is wrong (the report says how), 2 usage.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--stack", metavar="NAME", action="append", default=[], help="a stack; may be repeated (default: all)"
    )
    against = parser.add_mutually_exclusive_group()
    against.add_argument("--base", metavar="REF", help="the git revision to compare with (default: HEAD)")
    against.add_argument("--base-dir", metavar="DIR", type=Path, help="another copy of the project to compare with")
    parser.add_argument("--format", choices=("text", "markdown", "json"), default="text", help="what to print")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help=f"write {COMMENT_FILE}, {TEXT_FILE} and {DOCUMENT_FILE} there"
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
        help=f"kill a program after this time (default: {_DEFAULT_TIMEOUT:g})",
    )
    return parser


def run(options: argparse.Namespace) -> tuple[str, bool]:
    """Compares, and writes what `--out` asks for.

    Returns:
        What to print, and whether the newer revision is fine.

    Raises:
        CommandError: the project cannot be read, the options make no sense or the results cannot be written.

    """
    from gke_llm_inference.diff.run import diff

    if not options.timeout > 0:
        raise UsageError("the timeout must be a positive number of seconds")
    if options.base is not None and (not options.base.strip() or options.base.startswith("-")):
        raise UsageError("--base must be a git revision, such as main")
    directory = options.project_dir
    if directory is None:
        directory = find_project_directory(Path.cwd(), Path(__file__).resolve().parents[2])
    report, vaults = diff(
        Path(directory).resolve(),
        options.stack,
        base=options.base,
        base_directory=options.base_dir,
        timeout=options.timeout,
        progress=_progress,
    )
    texts = _texts(report, vaults)
    if options.out is not None:
        from gke_llm_inference.preview.write import write_files

        write_files(options.out, texts)
    name = {"text": TEXT_FILE, "markdown": COMMENT_FILE, "json": DOCUMENT_FILE}[options.format]
    return texts[name], not report.failed


def _texts(report: Report, vaults: tuple[Vault, ...]) -> dict[str, str]:
    """Every form of the report, searched for secrets once more."""
    from gke_llm_inference.diff.document import document_of
    from gke_llm_inference.diff.render_markdown import render_markdown
    from gke_llm_inference.diff.render_text import render_text
    from gke_llm_inference.preview.write import to_json

    texts = {
        COMMENT_FILE: render_markdown(report),
        TEXT_FILE: render_text(report),
        DOCUMENT_FILE: to_json(document_of(report)),
    }
    for vault in vaults:
        texts = {name: vault.mask(text) for name, text in texts.items()}
        if any(vault.found_in(text) for text in texts.values()):
            raise OutputError("a secret value is left in what would be written; nothing was written")
    return texts


def _progress(message: str) -> None:
    if sys.stderr.isatty():
        print(f"{message} ...", file=sys.stderr)
