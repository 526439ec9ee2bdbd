"""The subcommand `settings`: what a stack's settings are, without Pulumi."""

import json as json_format

import typer

from gke_llm_inference.cli import options
from gke_llm_inference.cli.failures import EXIT_FINE, EXIT_WRONG, complain
from gke_llm_inference.terminal import write

app = typer.Typer(help="Show and compare the settings of stacks.", rich_markup_mode=None)


@app.command()
def effective(
    stack: options.Stack = None,
    config_file: options.ConfigFile = None,
    origin: options.Origin = False,
    json: options.Json = False,
    project_dir: options.ProjectDirectory = None,
) -> int:
    """Show a stack's settings as they take effect, with all defaults."""
    from gke_llm_inference.cli.selection import select
    from gke_llm_inference.settings.effective import (
        assert_no_secret,
        effective_origins,
        effective_settings,
        effective_yaml,
        origins_text,
    )

    selection = select(stack, config_file, project_dir)
    configuration = selection.configuration()
    assert_no_secret(configuration)
    if json:
        document = effective_origins(configuration) if origin else effective_settings(configuration)
        write(json_format.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        write(origins_text(configuration) if origin else effective_yaml(configuration, selection.project.name))
    return EXIT_FINE


@app.command()
def security(
    stack: options.StrongStack,
    at_least: options.WeakStack,
    project_dir: options.ProjectDirectory = None,
) -> int:
    """Check that a stack is never weaker than another."""
    from gke_llm_inference.cli.selection import select
    from gke_llm_inference.settings.security import weaker_settings

    strong, other = (select(name, None, project_dir).configuration() for name in (stack, at_least))
    found = weaker_settings(strong.settings, name=stack, than=other.settings, than_name=at_least)
    if not found:
        write(f"{stack} is at least as strong as {at_least} in every security setting\n")
        return EXIT_FINE
    heading = f"{stack} is weaker than {at_least} in {len(found)} setting{'s' if len(found) != 1 else ''}:"
    complain("\n".join([heading, *(str(strong.origins.located_finding(finding)) for finding in found)]))
    return EXIT_WRONG


@app.command()
def schema(project_dir: options.ProjectDirectory = None) -> int:
    """Print the JSON schema of stack files and base files, for editors.

    Its keys have the namespace of the project here; outside of any project, that of gke-llm-inference.
    """
    from gke_llm_inference.cli.selection import namespace_of
    from gke_llm_inference.settings.schema import stack_schema

    write(json_format.dumps(stack_schema(namespace_of(project_dir)), indent=2) + "\n")
    return EXIT_FINE
