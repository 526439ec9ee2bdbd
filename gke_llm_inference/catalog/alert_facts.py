"""What raises an alert, from which threshold on, and what whoever gets it is told to check and to do."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from gke_llm_inference.catalog.facts import Facts, Positive

AlertKind = Literal[
    "noReplica",
    "crashLoop",
    "timeToFirstToken",
    "interTokenLatency",
    "queue",
    "kvCacheFull",
    "preemptions",
    "idleGpus",
    "capacity",
]
"""What an alert is about, in the order in which to look at them."""
ALERT_KINDS: tuple[AlertKind, ...] = get_args(AlertKind)
AlertSeverity = Literal["CRITICAL", "ERROR", "WARNING"]


class AlertThresholds(Facts):
    """From when on something is wrong, where the plan does not say more."""

    waiting_per_replica: Positive
    """Waiting requests of each replica, where its speed is not planned."""
    kv_cache_usage: Annotated[float, Field(gt=0, le=1)]
    """Share of the KV cache in use."""
    restarts: Positive
    """Restarts of a server's containers in the time of as many starts."""
    back_off_seconds: Positive
    """The longest that Kubernetes waits before it starts a container again."""
    idle_seconds: Positive
    """Time without any request."""
    outage_seconds: Positive
    """Time without a replica, where updates leave one."""


class Check(Facts):
    """What to look at, and the command that shows it."""

    what: str
    command: str


class AlertFacts(Facts):
    """One kind of alert."""

    title: str
    """What is wrong, as the end of a sentence that begins with the server."""
    severity: AlertSeverity
    means: str
    check: tuple[Check, ...] = Field(min_length=1)
    do: tuple[str, ...] = Field(min_length=1)


class Alerts(Facts):
    """All kinds of alerts."""

    source: str
    date: str
    thresholds: AlertThresholds
    alerts: dict[AlertKind, AlertFacts]

    @model_validator(mode="after")
    def _all_kinds(self) -> "Alerts":
        if tuple(self.alerts) != ALERT_KINDS:
            raise ValueError("the alerts are not those of AlertKind, in its order")
        return self
