"""The subcommand `quota`: what a stack needs of Google's quotas, beside what its project has."""

import json as json_format

from gke_llm_inference.cli import options
from gke_llm_inference.cli.failures import EXIT_FINE, EXIT_WRONG
from gke_llm_inference.errors import ConfigError
from gke_llm_inference.terminal import printable, write


def quota(
    stack: options.Stack = None,
    config_file: options.ConfigFile = None,
    offline: options.Offline = False,
    deployed: options.Deployed = False,
    json: options.Json = False,
    project_dir: options.ProjectDirectory = None,
) -> int:
    """Say which GPU quota a stack needs, what its project has of it, and where to ask for more.

    Google is asked with your own Application Default Credentials, else with those of gcloud. The exit code is 1 where
    quota is missing.
    """
    from gke_llm_inference.catalog import load_catalog
    from gke_llm_inference.cli.quota_report import quota_document, quota_lines
    from gke_llm_inference.cli.selection import select
    from gke_llm_inference.planning import plan_stack
    from gke_llm_inference.planning.quota import QuotaState, stack_quota_needs

    selection = select(stack, config_file, project_dir)
    plan = plan_stack(selection.configuration().settings, selection.identity)
    project, region = plan.cluster.project, plan.cluster.region
    needs = stack_quota_needs(plan, load_catalog())
    if offline:
        states = [QuotaState(need=need) for need in needs]
    else:
        from gke_llm_inference.cli.quota_reader import read_quotas

        if project is None or region is None:
            raise ConfigError(
                "the stack does not say in which project and region its cluster is; "
                "state cluster.project and cluster.location, or use --offline"
            )
        uses = read_quotas(project, region)
        states = [QuotaState(need=need, use=uses.get(need.name), deployed=deployed) for need in needs]
    if json:
        write(json_format.dumps(quota_document(states, project, region), indent=2) + "\n")
    else:
        write("".join(f"{printable(line)}\n" for line in quota_lines(states, project, region, asked=not offline)))
    return EXIT_WRONG if any(state.missing for state in states) else EXIT_FINE
