"""The subcommand `preview`: what a program would create."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gke_llm_inference.cli import options
from gke_llm_inference.cli.failures import EXIT_FINE, EXIT_WRONG, show_output
from gke_llm_inference.terminal import Look, progress, write

if TYPE_CHECKING:
    from pathlib import Path

    from gke_llm_inference.policy.preview_check import Report
    from gke_llm_inference.preview.manifests import Manifest
    from gke_llm_inference.preview.recording import Recording
    from gke_llm_inference.pulumi_protocol.masking import SecretMasker


def preview(
    stack: options.Stack = None,
    config_file: options.ConfigFile = None,
    out: options.Out = None,
    json: options.Json = False,
    policy: options.CheckPolicies = False,
    policy_config: options.PolicyConfig = None,
    project_dir: options.ProjectDirectory = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
) -> int:
    """Show what `pulumi up` would create, without a cloud.

    Needs neither credentials nor the Pulumi CLI. --policy-config implies --policy. On failure stdout stays empty and
    nothing is written.
    """
    recording, directory = recorded(stack, config_file, project_dir, timeout)
    report = None
    if policy or policy_config is not None:
        report = checked(recording, directory, stack, config_file, policy_config)
    _deliver(recording, report, out=out, as_json=json)
    return EXIT_FINE if report is None or report.passed else EXIT_WRONG


def recorded(
    stack: str | None, config_file: Path | None, project_dir: Path | None, timeout: float
) -> tuple[Recording, Path]:
    """The recording of a stack's program, and the program's project."""
    from gke_llm_inference.cli.selection import program_directory, require_stack
    from gke_llm_inference.preview.run import record

    require_stack(stack, config_file)
    directory = program_directory(config_file, project_dir)
    with progress() as show:
        recording = record(
            directory,
            stack,
            config_file,
            timeout=timeout,
            on_start=lambda: show("running the program, without a cloud"),
        )
    return recording, directory


def checked(
    recording: Recording, directory: Path, stack: str | None, config_file: Path | None, policy_config: Path | None
) -> Report:
    """What the policies of a recorded stack's environment say."""
    from gke_llm_inference.policy.configuration import ENVIRONMENT_KEY
    from gke_llm_inference.policy.preview_check import check_recording
    from gke_llm_inference.pulumi_project.project import load_project, load_stack

    config = load_stack(load_project(directory), stack, config_file)
    return check_recording(recording, config.values.get(ENVIRONMENT_KEY), policy_config)


def _deliver(recording: Recording, report: Report | None, *, out: Path | None, as_json: bool) -> None:
    from gke_llm_inference.preview.render import render_document, render_text
    from gke_llm_inference.preview.write import to_json, write_preview

    masker = recording.masker
    manifests: tuple[Manifest, ...] = ()
    files: tuple[str, ...] = ()
    if out is not None:
        from gke_llm_inference.preview.manifests import manifests_of

        manifests = manifests_of(recording)
        resources = to_json(masker.mask_value(recording.as_dict()))
        for text in (resources, *(part for item in manifests for part in (item.file_name, item.text))):
            assert_clean(masker, text)
        written = write_preview(out, resources, manifests)
        files = tuple(str(out / path) for path in written)
    show_program_output(recording, as_json=as_json)
    if as_json:
        write_document(masker, with_policies(render_document(recording, files=files), report))
        return
    text = render_text(recording, manifests=manifests, files=files, look=Look.of(sys.stdout))
    if report is not None:
        from gke_llm_inference.policy.preview_check import report_text

        text += f"\n{report_text(report)}"
    write(masker.mask(text))


def show_program_output(recording: Recording, *, as_json: bool) -> None:
    """What the program printed: before a text, and beside a document."""
    show_output([recording.program_stdout], sys.stderr if as_json else sys.stdout)
    show_output([recording.program_stderr], sys.stderr)
    sys.stdout.flush()


def with_policies(document: dict[str, Any], report: Report | None) -> dict[str, Any]:
    """A preview's document with what the policies say."""
    return document if report is None else {**document, "policies": report.as_dict()}


def write_document(masker: SecretMasker, document: dict[str, Any]) -> None:
    """A preview's document on stdout."""
    from gke_llm_inference.preview.write import to_json

    text = to_json(masker.mask_value(document))
    assert_clean(masker, text)
    write(text)


def assert_clean(masker: SecretMasker, text: str) -> None:
    """The last search: all of it was masked before, so a secret found here is a fault of the preview's."""
    if masker.found_in(text):
        from gke_llm_inference.preview.errors import OutputError

        raise OutputError("a secret value is left in what would be written; nothing was written")
