"""The shape of facts about what server versions load: classes of models, and formats of checkpoints by GPU."""

from packaging.version import Version

from gke_llm_inference.catalog.effects import Amount
from gke_llm_inference.catalog.facts import Facts, ServerKind
from gke_llm_inference.catalog.files import directory, read

FILE = directory("servers") / "loading.yaml"


class LoadedClass(Facts):
    """Versions that have a class for a model."""

    since: str
    """The oldest version that was looked at and has it."""
    until: str | None = None
    """The newest that has it; None where the newest of all does."""

    def has(self, version: str) -> bool:
        """Whether a version has it."""
        parts = Version(version)
        return Version(self.since) <= parts and (self.until is None or parts <= Version(self.until))


class FormatSince(Facts):
    """The GPU that a format needs from a version on."""

    since: str
    compute_capability: str
    """Lowest CUDA compute capability."""
    flag: str = ""
    """The flag without which the server refuses the format."""


class AdapterLoading(Facts):
    """What a server takes as adapters (LoRA)."""

    since: str
    """The oldest version that was looked at."""
    experts_since: str
    """The same for mixtures of experts."""
    ranks: tuple[int, ...]
    """Ranks that it has room for, ascending."""
    with_tables: tuple[str, ...]
    """Classes whose embeddings and output layer have buffers too."""
    without: tuple[str, ...]
    """Classes that take no adapters."""
    at_most: Amount
    """What adapters take of a GPU at most."""


class ServerLoading(Facts):
    """What a server loads."""

    source: str
    date: str
    oldest: str
    """The oldest version that was looked at."""
    classes: dict[str, LoadedClass]
    """Versions by the class of a model (the first of architectures), or by its model_type."""
    by_type: bool = False
    """Whether classes are listed by model_type."""
    formats: dict[str, tuple[FormatSince, ...]]
    """GPUs by format and version, oldest first; formats that are not listed need no more than the server itself."""
    adapters: AdapterLoading | None = None
    """What it takes as adapters; None where that is not planned."""
    methods: dict[str, str] = {}
    """The server's own word for a format, where that is another."""

    def format_since(self, name: str, version: str) -> FormatSince | None:
        """What holds for a format in a version; None where the version does not load it, or nothing is known."""
        known = [one for one in self.formats.get(name, ()) if Version(one.since) <= Version(version)]
        return known[-1] if known else None


def read_loading() -> dict[ServerKind, ServerLoading]:
    """What each server loads.

    Raises:
        pydantic.ValidationError: the file does not have the shape that this module states.

    """
    document = read(FILE)
    shared = {key: document[key] for key in ("source", "date")}
    return {kind: ServerLoading.model_validate({**shared, **document[kind]}) for kind in ("vllm", "tgi")}
