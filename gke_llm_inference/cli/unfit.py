"""A plan of servers that may not fit or are too slow: what it would be, and why the stack itself is refused."""

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.settings import Refusal, StackSettings


def plan_unfit(settings: StackSettings, identity: StackIdentity, catalog: Catalog) -> tuple[StackPlan, Refusal | None]:
    """The plan with servers that do not fit their GPUs or miss objectives, and what the stack is refused for, if any.

    Raises:
        Refusal: something else is wrong, so that there is no plan; with what does not fit or is too slow, too.

    """
    try:
        return plan_stack(settings, identity, catalog), None
    except Refusal as error:
        refusal = error
    allowed = {
        name: server.model_copy(update={"allow_unfit": True, "allow_slow": True})
        for name, server in settings.servers.items()
    }
    try:
        return plan_stack(settings.model_copy(update={"servers": allowed}), identity, catalog), refusal
    except Refusal:
        # Not the one of what is left then, which does not say what does not fit.
        raise refusal from None
