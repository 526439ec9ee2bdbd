"""The plan alone, without Pulumi.

`python -m gke_llm_inference plan --stack NAME | --config-file PATH [--server NAME] [--json]` prints a stack's plan,
`python -m gke_llm_inference models --accelerator TYPE [--count N]` which models run on a GPU,
`python -m tools.memory_accuracy --cases FILE [--json]` predictions beside measurements,
`python -m tools.preset_reference` the matrix of presets in Markdown.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.cli.models_report import model_rows, models_text
from gke_llm_inference.cli.plan_report import stack_document, stack_text
from gke_llm_inference.errors import CommandError
from gke_llm_inference.planning.stack import StackIdentity, plan_stack
from gke_llm_inference.pulumi_project.project import find_project_directory, load_project, load_stack
from gke_llm_inference.settings import Refusal, suggestion
from gke_llm_inference.settings.stack_config import configuration_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 fine, 1 the configuration is wrong, 2 usage."""
    options = _parser().parse_args(arguments)
    try:
        if options.command is None:
            return _plan(options)
        sys.stdout.write(_report(options))
    except Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 1
    except (CommandError, OSError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def models(arguments: Sequence[str] | None = None) -> int:
    """Run the command `models`."""
    return main(["models", *(arguments or [])])


def _report(options: argparse.Namespace) -> str:
    catalog = load_catalog()
    rows = model_rows(options.accelerator, options.count, catalog)
    if options.json:
        return json.dumps([asdict(row) for row in rows], indent=2) + "\n"
    return models_text(rows)


def _plan(options: argparse.Namespace) -> int:
    """Print a stack's plan; servers that do not fit are planned too, but make the command fail."""
    catalog = load_catalog()
    project = load_project(find_project_directory(Path.cwd(), Path(__file__).resolve().parents[2]))
    stack = load_stack(project, options.stack, options.config_file)
    configuration = configuration_of(stack.values, stack.secret_keys, project.name, project.directory, file=stack.file)
    settings = configuration.settings
    if options.server is not None and options.server not in settings.servers:
        raise CommandError(f"--server {options.server}: {suggestion(options.server, settings.servers)}")
    allowed = settings.model_copy(
        update={
            "servers": {
                name: server.model_copy(update={"allow_unfit": True}) for name, server in settings.servers.items()
            }
        }
    )
    identity = StackIdentity(project=project.name, stack=stack.stack, gcp_project=stack.values.get("gcp:project"))
    origins = configuration.origins
    try:
        plan = plan_stack(allowed, identity, catalog)
    except Refusal as refusal:
        raise origins.located(refusal) from None
    plan = replace(plan, warnings=tuple(map(origins.located_finding, plan.warnings)))
    if options.json:
        sys.stdout.write(json.dumps(stack_document(plan, catalog, options.server), indent=2) + "\n")
    else:
        sys.stdout.write(stack_text(plan, catalog, options.server))
    # What the stack itself would be refused for.
    try:
        plan_stack(settings, identity, catalog)
    except Refusal as refusal:
        raise origins.located(refusal) from None
    return 0


def _parser() -> argparse.ArgumentParser:
    catalog = load_catalog()
    parser = argparse.ArgumentParser(prog="python -m gke_llm_inference plan", description=__doc__.partition("\n")[0])
    parser.add_argument("--stack", metavar="NAME", help="the stack to plan (reads Pulumi.NAME.yaml)")
    parser.add_argument("--config-file", metavar="PATH", type=Path, help="a stack's file anywhere")
    parser.add_argument("--server", metavar="NAME", help="only this server")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    commands = parser.add_subparsers(dest="command")
    models = commands.add_parser("models", help="which models run on a GPU")
    models.add_argument("--accelerator", choices=sorted(catalog.accelerators), default="nvidia-l4")
    models.add_argument("--count", type=int, choices=[1, 2, 4, 8], default=1, help="GPUs of one machine")
    models.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser
