"""What the two components take: the settings' own fields, and few others."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from gke_llm_inference.settings import ExistingSecretToken, NoToken, ServerSettings, StackSettings
from gke_llm_inference.settings.base import DnsLabel, Settings
from gke_llm_inference.settings.pulumi_keys import PROJECT, TOKEN_KEY

PACKAGE = PROJECT
"""Name of the Pulumi package, which the type tokens of its components begin with."""
STACK_TYPE = f"{PACKAGE}:index:InferenceStack"
"""Type of a whole stack."""
SERVER_TYPE = f"{PACKAGE}:index:InferenceServer"
"""Type of one server."""

GCP_PROJECT = "gcpProject"
TOKEN_VERSION = "tokenVersion"  # noqa: S105 an argument's name


class ServerArguments(Settings):
    """One inference server, in a namespace that exists on a cluster that exists; its name is the resource's."""

    server: ServerSettings
    """The inference server."""
    profile: Literal["autopilot", "standard"] = "standard"
    """How its nodes come about, which decides what a pod may ask for."""
    namespace: DnsLabel = "llm-inference"
    """Kubernetes namespace of the servers."""
    hugging_face: Annotated[NoToken | ExistingSecretToken, Field(discriminator="token_source")] = NoToken(
        token_source="none"  # noqa: S106 the name of a source
    )
    """Where the servers find the Hugging Face token."""


@dataclass(frozen=True)
class Argument:
    """An argument that is not a setting; `output` says that it may come from another resource."""

    name: str
    description: str
    output: bool = False
    secret: bool = False


@dataclass(frozen=True)
class Component:
    """A component of the package.

    Attributes:
        token: its type.
        description: what it is.
        settings: the arguments that are settings.
        others: the other arguments.
        outputs: what it tells, by name: JSON type of the value, and what it is. A `?` says that it may be missing.

    """

    token: str
    description: str
    settings: type[Settings]
    others: tuple[Argument, ...]
    outputs: dict[str, tuple[str, str]]

    @property
    def outputs_allowed(self) -> frozenset[str]:
        """The arguments that may be Outputs; a plan needs everything else before the first resource."""
        return frozenset(argument.name for argument in self.others if argument.output)


COMPONENTS = {
    component.token: component
    for component in (
        Component(
            STACK_TYPE,
            "A GKE cluster, its GPU node pools, the Hugging Face token and inference servers, planned and checked "
            "before anything is created. Its pieces have fixed names, so a program has one.",
            StackSettings,
            (
                Argument(
                    TOKEN_KEY,
                    "The Hugging Face token, a secret, where huggingFace.tokenSource is config.",
                    output=True,
                    secret=True,
                ),
                Argument(GCP_PROJECT, "Google Cloud project; gcp:project of the stack's configuration if absent."),
            ),
            {
                "addresses": ("map?", "Addresses that the stack reserved for load balancers, by exposure."),
                "certificateRecords": (
                    "map?",
                    "DNS record of each hostname whose certificate the stack makes: name, type and data.",
                ),
                "clusterName": ("string", "Name in Google Cloud, or the kubeconfig's context."),
                "endpoints": ("map?", "OpenAI API of each server that is reached from outside, by the server's name."),
                "kubeconfig": ("string?", "Kubeconfig without credentials; none for a kubeconfig context."),
                "namespace": ("string", "Kubernetes namespace of the servers."),
                "nodeServiceAccount": ("string?", "Email that nodes run as."),
                "servers": ("map", "Address of each server inside the cluster, by its name."),
            },
        ),
        Component(
            SERVER_TYPE,
            "A vLLM or TGI server on a cluster that exists; pass the cluster's Kubernetes provider in the options.",
            ServerArguments,
            (
                Argument(
                    TOKEN_VERSION,
                    "Another text for every Hugging Face token, such as the resourceVersion of its Secret, so that a "
                    "new token restarts the pods. Never the token, nor anything computed from it.",
                    output=True,
                ),
            ),
            {
                "args": ("list", "Arguments of the server."),
                "gpuCount": ("integer", "GPUs of each replica."),
                "gpuType": ("string", "GPU as GKE names it."),
                "image": ("string", "Container image."),
                "machineType": ("string?", "Machine that the pods are planned for; none where it is not known."),
                "model": ("string", "Hugging Face id of the model."),
                "replicas": ("integer", "Pods."),
                "server": ("string", "vllm or tgi."),
                "url": ("string", "Address of the server inside the cluster."),
                "version": ("string", "Version of the server."),
            },
        ),
    )
}
"""The components by type token."""
