"""The subcommand `dashboard`: a stack's dashboard as JSON for Grafana."""

import json as json_format

from gke_llm_inference.cli import options
from gke_llm_inference.terminal import write


def dashboard(
    stack: options.Stack = None,
    config_file: options.ConfigFile = None,
    server: options.OneServer = None,
    project_dir: options.ProjectDirectory = None,
) -> int:
    """Print a stack's dashboard as JSON that Grafana imports.

    It has the panels of the dashboard in Cloud Monitoring, from the same queries.
    """
    from gke_llm_inference.cli.selection import select
    from gke_llm_inference.errors import ConfigError
    from gke_llm_inference.planning import plan_stack
    from gke_llm_inference.settings import Refusal, suggestion

    selection = select(stack, config_file, project_dir)
    configuration = selection.configuration()
    settings = configuration.settings
    if server is not None and server not in settings.servers:
        raise ConfigError(f"--server {server} is not a server of the stack; {suggestion(server, settings.servers)}")
    if not settings.observability.metrics.enabled:
        raise ConfigError("the stack collects no metrics; set observability.metrics.enabled, or its panels stay empty")
    try:
        plan = plan_stack(settings, selection.identity)
    except Refusal as error:
        raise configuration.origins.located(error) from None
    write(json_format.dumps(plan.observability.grafana(server), indent=2) + "\n")
    return 0
