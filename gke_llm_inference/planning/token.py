"""Decides on the Hugging Face token's way into the cluster."""

from collections.abc import Iterable

from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.plan import TokenPlan
from gke_llm_inference.settings import Finding, HuggingFaceSettings, NoToken, SecretManagerToken


def plan_token(
    settings: HuggingFaceSettings, *, project: str | None, namespace: str, servers: Iterable[str]
) -> tuple[TokenPlan, list[Finding]]:
    """The token's plan and the problems of its settings.

    Args:
        settings: where the token comes from.
        project: Google Cloud project of the stack, if there is one.
        namespace: Kubernetes namespace of the stack.
        servers: names of the servers in the configuration.

    """
    problems: list[Finding] = []
    secret = "" if isinstance(settings, NoToken) else settings.secret_name
    reader = dns_label(f"{secret}-reader")
    if isinstance(settings, SecretManagerToken):
        if project is None:
            problems.append(
                Finding(
                    path="gcp:project",
                    what="is missing",
                    why="Secret Manager lets the cluster in by the workload identity pool of its project",
                    fix="pulumi config set gcp:project PROJECT",
                )
            )
        problems += [
            Finding(
                path=f"servers.{key}",
                what=f"gets the name of the service account that reads the token: {reader}",
                why="each of the two needs a service account of its own",
                fix="rename the server or huggingFace.secretName",
            )
            for key in sorted(servers)
            if dns_label(key) == reader
        ]
    return TokenPlan(settings=settings, project=project, namespace=namespace, reader_name=reader), problems
