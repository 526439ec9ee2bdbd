"""The last resort: a patch of a server's pod template."""

from typing import Annotated, Any

from pydantic import Field

from gke_llm_inference.settings.base import NonEmpty, Settings


class Whole:
    """Marks a setting that a stack takes from one file as a whole: nothing in it merges, and null is a value there."""


class PodPatchSettings(Settings):
    """A patch of the pod template, for what no setting can say."""

    patch: Annotated[dict[str, Any], Whole()]
    """Strategic merge patch of the template: metadata and spec, as Kubernetes spells them."""
    overrides: Annotated[tuple[NonEmpty, ...], Field(strict=False)] = ()
    """Paths in the template that the plan decided and the patch may change, such as spec.tolerations."""
