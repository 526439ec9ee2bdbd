"""Settings of the capacity that a server asks for: ways in which Google provides its machines, tried in order."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gke_llm_inference.settings.base import Name, NonEmpty, Settings, Zones, refused
from gke_llm_inference.settings.node_pools import (
    FlexStartProvisioning,
    MachineTypeName,
    ProvisioningSettings,
    ReservationProvisioning,
    SpotProvisioning,
)

LONGEST_RUN_SECONDS = 604_800
"""Seconds after which Google takes a flex-start machine back at the latest."""
MOST_TIERS = 10
"""Tiers of a server; with more rules than that, a compute class can go round in circles."""


class _MachineTier(Settings):
    machine_type: MachineTypeName | None = None
    """Machine type, from which the GPU follows; the cheapest that holds the server if absent."""
    accelerator: NonEmpty | None = None
    """GPU as GKE names it; that of the machine type, else the server's, if absent."""


class OnDemandTier(_MachineTier):
    """Machines at list price, kept until released."""

    model: Literal["onDemand"]
    """List price, no end."""


class SpotTier(_MachineTier):
    """Spot VMs: cheaper, preempted at any time."""

    model: Literal["spot"]
    """Cheaper, may be preempted at any time."""


class FlexStartTier(_MachineTier):
    """Flex-start machines: obtained when capacity allows, for at most seven days."""

    model: Literal["flexStart"]
    """When capacity allows, seven days at most."""
    max_run_seconds: Annotated[int, Field(ge=600, le=LONGEST_RUN_SECONDS)] = LONGEST_RUN_SECONDS
    """Seconds after which Google takes the machine back."""
    recycle_lead_seconds: Annotated[int, Field(ge=1, le=LONGEST_RUN_SECONDS)] | None = None
    """Seconds before that in which GKE brings a new machine in its place; it brings none if absent."""

    @model_validator(mode="after")
    def _recycled_in_time(self) -> "FlexStartTier":
        if self.recycle_lead_seconds is not None and self.recycle_lead_seconds >= self.max_run_seconds:
            raise refused(
                f"recycleLeadSeconds {self.recycle_lead_seconds} is not less than maxRunSeconds {self.max_run_seconds}",
                "a machine would be replaced as soon as it is there",
                "lower recycleLeadSeconds",
            )
        return self


class ReservationTier(_MachineTier):
    """Machines of a specific reservation."""

    model: Literal["reservation"]
    """From a reservation."""
    name: NonEmpty
    """Name of the reservation."""
    project: NonEmpty | None = None
    """Project that owns a shared reservation; the stack's own if absent."""
    zones: Zones = ()
    """Zones that the reservation is in; GKE looks for it by name if empty."""


def _without_model(schema: dict[str, Any]) -> None:
    schema["required"].remove("model")


class NodePoolTier(Settings):
    """Nodes of a pool of `nodePools`; a list with one holds pools alone."""

    model_config = ConfigDict(json_schema_extra=_without_model)

    model: Literal["nodePool"]
    """A node pool of the stack; may be left out."""
    node_pool: Name
    """The pool's name in `nodePools`."""


MachineTier = OnDemandTier | SpotTier | FlexStartTier | ReservationTier
"""A tier that says how a machine is provided."""


def _from_word(value: Any) -> Any:
    """What a bare word stands for, and a pool without its model."""
    if isinstance(value, str):
        return {"model": value}
    if isinstance(value, dict) and "nodePool" in value and "model" not in value:
        return {"model": "nodePool", **value}
    return value


class _OrWord:
    """Marks a tier that a bare word may stand for, in the JSON schema."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "enum": ["onDemand", "spot", "flexStart"]}, handler(schema)]}


CapacityTier = Annotated[
    OnDemandTier | SpotTier | FlexStartTier | ReservationTier | NodePoolTier,
    Field(discriminator="model"),
    BeforeValidator(_from_word),
    _OrWord(),
]
"""A way in which Google provides the machines of a server."""


def tier_of(provisioning: ProvisioningSettings) -> MachineTier:
    """The one tier that a server's `provisioning` is."""
    match provisioning:
        case SpotProvisioning():
            return SpotTier(model="spot")
        case FlexStartProvisioning(max_run_seconds=seconds):
            return FlexStartTier(model="flexStart", max_run_seconds=seconds)
        case ReservationProvisioning(name=name, project=project):
            return ReservationTier(model="reservation", name=name, project=project)
        case _:
            return OnDemandTier(model="onDemand")
