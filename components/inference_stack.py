"""A whole stack as one component, for programs that want it below a resource of its own."""

from dataclasses import dataclass

import pulumi

from gke_llm_inference.planning import StackPlan

from .stack import StackResources, create_stack


@dataclass(frozen=True, kw_only=True)
class InferenceStackArgs:
    """What a whole stack needs.

    Attributes:
        plan: the stack, decided and checked.
        token: the Hugging Face token, where the plan takes it from the config.

    """

    plan: StackPlan
    token: pulumi.Input[str] | None = None


class InferenceStack(pulumi.ComponentResource):
    """A cluster, its node pools, the Hugging Face token and inference servers, below one component.

    The pieces have fixed names: a program has one of it, as it has one stack.
    """

    TYPE = "gke-llm-inference:index:InferenceStack"

    resources: StackResources
    """The pieces."""

    def __init__(self, name: str, args: InferenceStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        self.resources = create_stack(args.plan, token=args.token, opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs(self.resources.outputs)
