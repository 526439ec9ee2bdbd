"""The subcommand `diff`: what changes between two revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gke_llm_inference.cli import options
from gke_llm_inference.cli.failures import EXIT_FINE, EXIT_WRONG
from gke_llm_inference.errors import UsageError
from gke_llm_inference.terminal import progress, write

if TYPE_CHECKING:
    from gke_llm_inference.diff.report import Report
    from gke_llm_inference.pulumi_protocol.masking import SecretMasker

COMMENT_FILE = "comment.md"
TEXT_FILE = "report.txt"
DOCUMENT_FILE = "report.json"
_FILES = {"text": TEXT_FILE, "markdown": COMMENT_FILE, "json": DOCUMENT_FILE}


def diff(
    stack: options.Stacks = None,
    base: options.Base = None,
    base_dir: options.BaseDirectory = None,
    format: options.Format = "text",  # noqa: A002 - the option's name
    json: options.Json = False,
    out: options.ReportOut = None,
    project_dir: options.ProjectDirectory = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
) -> int:
    """Show what changes between two revisions of a stack.

    Needs neither a cloud nor credentials nor the Pulumi CLI.

    Exits with 0 whether anything changes or not, and also if the base is unavailable; with 1 if this revision's
    configuration or program is wrong (the report says how).
    """
    from gke_llm_inference.cli.selection import directory_of
    from gke_llm_inference.diff.run import diff as compare_revisions

    if not timeout > 0:
        raise UsageError("the timeout must be a positive number of seconds")
    if base is not None and base_dir is not None:
        raise UsageError("--base and --base-dir exclude each other: compare with a revision or with a directory")
    if base is not None and (not base.strip() or base.startswith("-")):
        raise UsageError("--base must be a git revision, such as main")
    with progress() as show:
        show("running both revisions, without a cloud")
        report, maskers = compare_revisions(
            directory_of(None, project_dir),
            stack or [],
            base=base,
            base_directory=base_dir,
            timeout=timeout,
            progress=show,
        )
    texts = _texts(report, maskers)
    if out is not None:
        from gke_llm_inference.preview.write import write_files

        write_files(out, texts)
    write(texts[_FILES["json" if json else format]])
    return EXIT_WRONG if report.failed else EXIT_FINE


def _texts(report: Report, maskers: tuple[SecretMasker, ...]) -> dict[str, str]:
    """Every form of the report, searched for secrets once more."""
    from gke_llm_inference.diff.document import document_of
    from gke_llm_inference.diff.render_markdown import render_markdown
    from gke_llm_inference.diff.render_text import render_text
    from gke_llm_inference.preview.errors import OutputError
    from gke_llm_inference.preview.write import to_json

    texts = {
        COMMENT_FILE: render_markdown(report),
        TEXT_FILE: render_text(report),
        DOCUMENT_FILE: to_json(document_of(report)),
    }
    for masker in maskers:
        texts = {name: masker.mask(text) for name, text in texts.items()}
        if any(masker.found_in(text) for text in texts.values()):
            raise OutputError("a secret value is left in what would be written; nothing was written")
    return texts
