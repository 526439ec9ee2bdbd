"""The base of every settings model and the field types that they share."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


class Settings(BaseModel):
    """Base of the settings: frozen, closed, strictly typed, camelCase in YAML; errors never echo a value."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        alias_generator=to_camel,
        populate_by_name=True,
        defer_build=True,
    )


def refused(what: str, why: str, fix: str, *, at: str = "") -> PydanticCustomError:
    """An error for a validator to raise; its three parts reach the user as they are.

    Args:
        what: what is wrong.
        why: why it cannot work.
        fix: what to change.
        at: the key of the setting to take away, where a validator of several judges.

    """
    return PydanticCustomError("refused", "{what}", {"what": what, "why": why, "fix": fix, "at": at})


def _cidr(text: str) -> str:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        raise refused(
            "is not an IPv4 range",
            "a range is an address and a prefix length, and the address ends in zeros beyond the prefix",
            "write it like 10.0.0.0/20",
        ) from None
    return str(network)


def _region(text: str) -> str:
    if not re.fullmatch(r"[a-z]+(-[a-z]+)+[0-9]+", text):
        raise refused(
            "is not a region",
            "Autopilot clusters and this project's networks are regional",
            "write a region such as us-central1, without a zone letter",
        )
    return text


def _location(text: str) -> str:
    if not re.fullmatch(r"[a-z]+(-[a-z]+)+[0-9]+(-[a-z])?", text):
        raise refused("is not a region or zone", "Google names them like us-central1 or us-central1-a", "check it")
    return text


def _zone(text: str) -> str:
    if not re.fullmatch(r"[a-z]+(-[a-z]+)+[0-9]+-[a-z]", text):
        raise refused("is not a zone", "a zone is a region and a letter", "write it like us-central1-a")
    return text


def is_dns_label(text: str) -> bool:
    """Whether Kubernetes and Google take a text as a name: at most 63 characters, a letter first."""
    return re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", text) is not None


def _dns_label(text: str) -> str:
    if not is_dns_label(text):
        raise refused(
            "is not a DNS label",
            "Kubernetes and Google names are lower-case letters, digits and dashes, at most 63, letter first",
            "use a name like llm-inference",
        )
    return text


def _label_value(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-_a-z0-9]{0,61}[a-z0-9])?", text):
        raise refused(
            "is not a label value",
            "labels go to Google Cloud and Kubernetes alike: lower-case letters, digits, - and _, at most 63",
            "shorten it or replace the other characters",
        )
    return text


def _image(text: str) -> str:
    name = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
    host = r"[a-zA-Z0-9]+([.-][a-zA-Z0-9]+)*(:[0-9]+)?"
    tag = r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
    digest = r"@sha256:[0-9a-f]{64}"
    if not re.fullmatch(rf"({host}/)?{name}(/{name})*({tag})?({digest})?", text):
        raise refused("is not an image reference", "Kubernetes would reject it", "write registry/name:tag")
    if not re.search(rf"({tag}|{digest})$", text) or text.endswith(":latest"):
        raise refused(
            "does not pin a version",
            "an unpinned image changes under a running deployment, and its flags with it",
            "add a version tag or a digest",
        )
    return text


Cidr = Annotated[str, AfterValidator(_cidr)]
"""An IPv4 range such as 10.0.0.0/20."""
Region = Annotated[str, AfterValidator(_region)]
"""A Google Cloud region such as us-central1."""
Location = Annotated[str, AfterValidator(_location)]
"""A Google Cloud region or zone."""
Zone = Annotated[str, AfterValidator(_zone)]
"""A Google Cloud zone such as us-central1-a."""
DnsLabel = Annotated[str, AfterValidator(_dns_label)]
"""A lower-case DNS label of at most 63 characters."""
Image = Annotated[str, AfterValidator(_image)]
"""A container image with a version tag or digest."""
ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", max_length=253)]
"""The name of a Kubernetes object that exists already."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]
"""The name of an entry; made into a DNS label where Kubernetes needs one."""
LabelKey = Annotated[str, StringConstraints(pattern=r"^[a-z]([-_a-z0-9]{0,61}[a-z0-9])?$")]
"""The key of a label that both Google Cloud and Kubernetes take."""
LabelValue = Annotated[str, AfterValidator(_label_value)]
"""The value of a label that both Google Cloud and Kubernetes take."""
Labels = dict[LabelKey, LabelValue]
PositiveInt = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A count or a number of tokens."""
NonEmpty = Annotated[str, StringConstraints(min_length=1, max_length=500)]
"""Text that is not empty."""
Zones = Annotated[tuple[Zone, ...], Field(strict=False)]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+(\.[0-9]+)?$")]
"""A server version such as 0.26.0."""
ModelId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=200)
]
"""A Hugging Face id such as google/gemma-7b-it."""
