"""A whole stack as one component, for programs that want it below a resource of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from gke_llm_inference.planning import StackPlan

from .stack import StackResources, create_stack


@dataclass(frozen=True, kw_only=True)
class InferenceStackArgs:
    """What a whole stack needs.

    Attributes:
        plan: the stack, decided and checked.
        token: the Hugging Face token, where the plan takes it from the config.
        api_keys: API keys by their names in the config, where the plan takes some from there.

    """

    plan: StackPlan
    token: pulumi.Input[str] | None = None
    api_keys: Mapping[str, pulumi.Input[str]] = field(default_factory=dict, repr=False)


class InferenceStack(pulumi.ComponentResource):
    """A cluster, its node pools, the Hugging Face token and inference servers, below one component.

    The pieces have fixed names: a program has one of it, as it has one stack.
    """

    TYPE = "gke-llm-inference:index:InferenceStack"

    resources: StackResources
    """The pieces."""

    def __init__(self, name: str, args: InferenceStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        self.resources = create_stack(
            args.plan, token=args.token, api_keys=args.api_keys, opts=pulumi.ResourceOptions(parent=self)
        )
        self.register_outputs(self.resources.outputs)
