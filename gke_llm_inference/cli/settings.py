"""The subcommand `settings`: what the settings say, without Pulumi."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from gke_llm_inference.errors import CommandError, UsageError
from gke_llm_inference.pulumi_project.project import find_project_directory, load_project, load_stack
from gke_llm_inference.settings.effective import effective_origins, effective_settings, effective_yaml, origins_text
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.schema import stack_schema
from gke_llm_inference.settings.security import weaker_settings
from gke_llm_inference.settings.stack_config import StackConfiguration, configuration_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 fine, 1 the configuration is wrong or weaker, 2 usage."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "schema":
                sys.stdout.write(json.dumps(stack_schema(), indent=2) + "\n")
            case "effective":
                sys.stdout.write(_effective(options))
            case _:
                return _security(options)
    except (Refusal, CommandError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _effective(options: argparse.Namespace) -> str:
    configuration = _configuration(options.stack, options.config_file)
    if options.json:
        document = effective_origins(configuration) if options.origin else effective_settings(configuration)
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return origins_text(configuration) if options.origin else effective_yaml(configuration)


def _security(options: argparse.Namespace) -> int:
    stack, than = options.stack, options.at_least
    configuration, reference = _configuration(stack), _configuration(than)
    found = weaker_settings(configuration.settings, name=stack, than=reference.settings, than_name=than)
    if not found:
        print(f"{stack} is at least as strong as {than} in every security setting")
        return 0
    count = len(found)
    print(f"error: {stack} is weaker than {than} in {count} setting{'s' if count != 1 else ''}:", file=sys.stderr)
    for finding in found:
        located: Finding = configuration.origins.located_finding(finding)
        print(located, file=sys.stderr)
    return 1


def _configuration(name: str | None, config_file: Path | None = None) -> StackConfiguration:
    project = load_project(find_project_directory(Path.cwd(), Path(__file__).resolve().parents[2]))
    stack = load_stack(project, name, config_file)
    try:
        return configuration_of(stack.values, stack.secret_keys, project.name, project.directory, file=stack.file)
    except Refusal as refusal:
        raise CommandError(f"{stack.file}: {refusal}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gke_llm_inference settings", description=__doc__.partition("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    effective = commands.add_parser("effective", help="a stack's settings as they take effect, with all defaults")
    effective.add_argument("--stack", metavar="NAME", help="the stack (reads Pulumi.NAME.yaml)")
    effective.add_argument("--config-file", metavar="PATH", type=Path, help="a stack's file anywhere")
    effective.add_argument("--origin", action="store_true", help="say for each value which file it is from")
    effective.add_argument("--json", action="store_true", help="print JSON instead of YAML")
    security = commands.add_parser("security", help="check that a stack is never weaker than another")
    security.add_argument("--stack", metavar="NAME", required=True, help="the stack that must be strong, such as prod")
    security.add_argument("--at-least", metavar="OTHER", required=True, help="the stack it is held against")
    commands.add_parser("schema", help="the JSON schema of stack files and base files")
    return parser
