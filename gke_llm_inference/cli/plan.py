"""The subcommand `plan`: a stack's plan alone, without Pulumi."""

import json as json_format
import sys
from dataclasses import replace

from gke_llm_inference.cli import options
from gke_llm_inference.terminal import Look, write


def plan(
    stack: options.Stack = None,
    config_file: options.ConfigFile = None,
    server: options.OneServer = None,
    flows: options.Flows = False,
    json: options.Json = False,
    project_dir: options.ProjectDirectory = None,
) -> int:
    """Show a stack's plan: GPU memory, machine, start, cost.

    A server that does not fit its GPUs is shown with what would fit, and makes the command fail.
    """
    from gke_llm_inference.catalog import load_catalog
    from gke_llm_inference.cli.flows_report import flows_document, flows_text
    from gke_llm_inference.cli.plan_report import stack_document, stack_text
    from gke_llm_inference.cli.selection import select
    from gke_llm_inference.cli.unfit import plan_unfit
    from gke_llm_inference.errors import ConfigError
    from gke_llm_inference.settings import Refusal, suggestion

    catalog = load_catalog()
    selection = select(stack, config_file, project_dir)
    configuration = selection.configuration()
    origins, servers = configuration.origins, configuration.settings.servers
    if server is not None and server not in servers:
        raise ConfigError(f"--server {server} is not a server of the stack; {suggestion(server, servers)}")
    try:
        planned, refusal = plan_unfit(configuration.settings, selection.identity, catalog)
    except Refusal as error:
        raise origins.located(error) from None
    planned = replace(planned, warnings=tuple(map(origins.located_finding, planned.warnings)))
    if json:
        document = flows_document(planned, server) if flows else stack_document(planned, catalog, server)
        write(json_format.dumps(document, indent=2) + "\n")
    elif flows:
        write(flows_text(planned, server))
    else:
        write(stack_text(planned, catalog, server, Look.of(sys.stdout)))
    if refusal is not None:
        raise origins.located(refusal)
    return 0
