"""The shape of facts about registries that a remote repository can stand before."""

from pydantic import model_validator

from gke_llm_inference.catalog.facts import Facts


class Upstream(Facts):
    """A registry that a remote repository fetches images from."""

    title: str
    slug: str
    """What it is called in the id of a repository."""
    preset: str | None = None
    """Google's own name for it; None where it is found by its address."""
    address: str | None = None
    """Address, for those without a preset."""

    @model_validator(mode="after")
    def _one_way(self) -> "Upstream":
        if (self.preset is None) == (self.address is None):
            raise ValueError(f"{self.title} needs a preset or an address")
        return self


class RegistryFacts(Facts):
    """Registries by host, as it stands before an image's name."""

    source: str
    date: str
    upstreams: dict[str, Upstream]
