"""Lets the goals of a stack's servers choose: what the search finds has to pass the planner's own steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gke_llm_inference.planning.presets import Applied, Chosen, stated_with
from gke_llm_inference.planning.stages import AskedServer, ModeledServer
from gke_llm_inference.planning.trials import changed, refusal_alone
from gke_llm_inference.settings import (
    ExistingSecretToken,
    Finding,
    OnDemandProvisioning,
    ProvisioningSettings,
    SpotProvisioning,
)

if TYPE_CHECKING:
    from gke_llm_inference.planning.optimization.offers import Offer


@dataclass(frozen=True)
class Goals:
    """What the goals of a stack's servers choose; servers that are alike are searched for once."""

    known: dict[str, Chosen] = field(default_factory=dict)

    def __call__(self, server: ModeledServer, applied: Applied) -> Chosen:
        """The choice for one server."""
        from gke_llm_inference.planning.optimization import choose

        key = server.settings.model_dump_json()
        if key not in self.known:
            self.known[key] = choose(server, applied, refusal)
        found = self.known[key]
        path = f"{server.path}."
        return replace(found, findings=tuple(_moved(finding, path) for finding in found.findings))


def refusal(server: ModeledServer, changes: Mapping[str, Any], offer: "Offer") -> str | None:
    """Why the planner refuses a server with changes, planned without the others; None where it passes."""
    own = stated_with(server.settings, (), server.stack.catalog)
    stack = server.stack
    if stack.cluster.profile == "autopilot" and offer.advised:
        own = own.model_copy(update={"provisioning": _provisioning(offer), "capacity": None})
    settings = changed(own, dict(changes))
    if settings is None:
        return "it is another model than the one that the stack describes"
    if server.model.gated and not stack.has_token:
        # That the token is missing is told for itself.
        stack = replace(stack, token=ExistingSecretToken(token_source="existingSecret"))  # noqa: S106 no secret
    found = refusal_alone(AskedServer(key=server.key, settings=settings, stack=stack), _provisioning(offer))
    return None if found is None else f"{found.what}: {found.why}"


def _provisioning(offer: "Offer") -> ProvisioningSettings:
    if offer.provisioning == "spot":
        return SpotProvisioning(model="spot")
    return OnDemandProvisioning(model="onDemand")


def _moved(finding: Finding, path: str) -> Finding:
    """The finding of a server that is alike, where this one stands."""
    _, _, rest = finding.path.partition(".")
    return replace(finding, path=f"{path}{rest.partition('.')[2]}")
