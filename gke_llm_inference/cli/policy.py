"""The subcommand `policy`: whether a stack keeps the policies of its environment."""

from gke_llm_inference.cli import options
from gke_llm_inference.cli.failures import EXIT_FINE, EXIT_WRONG
from gke_llm_inference.cli.preview import checked, recorded, show_program_output, with_policies, write_document
from gke_llm_inference.terminal import write


def policy(
    stack: options.Stack = None,
    config_file: options.ConfigFile = None,
    policy_config: options.PolicyConfig = None,
    json: options.Json = False,
    project_dir: options.ProjectDirectory = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
) -> int:
    """Check a stack against its policies, without a cloud.

    The policies are those of its environment, checked on an offline preview. --json prints the preview's document with
    the policies in it, as `preview --policy --json` does.
    """
    from gke_llm_inference.policy.preview_check import report_text
    from gke_llm_inference.preview.render import render_document

    recording, directory = recorded(stack, config_file, project_dir, timeout)
    report = checked(recording, directory, stack, config_file, policy_config)
    show_program_output(recording, as_json=True)
    if json:
        write_document(recording.masker, with_policies(render_document(recording), report))
    else:
        write(recording.masker.mask(report_text(report)))
    return EXIT_FINE if report.passed else EXIT_WRONG
