"""Decides on adapters: slots and rank, vLLM's arguments, what they take, and the container that downloads them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from gke_llm_inference.catalog import Catalog, ModelArchitecture
from gke_llm_inference.catalog.effects import Amount
from gke_llm_inference.catalog.facts import GIB
from gke_llm_inference.planning.arguments import Argument
from gke_llm_inference.planning.memory.request import Unplanned
from gke_llm_inference.planning.memory.sharding import adapter_weights
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.plan import AdapterPlan, Decision
from gke_llm_inference.planning.pod.names import ADAPTERS_CONTAINER, CACHE_VOLUME, TOKEN_VARIABLES
from gke_llm_inference.planning.pod.plan import ExtraContainer, PodExtras, VariableReference
from gke_llm_inference.settings import ServerSettings, VllmSettings

_USUAL_SLOTS = 4
# Files may hold 32 bits of each weight, and twice what is needed is never missed.
_FILE_BYTES, _SLACK = 4, 2
_CPU_MILLICORES, _MEMORY_GIB = 500, 1
_NAME = "adapters"


@dataclass(frozen=True, kw_only=True)
class Slots:
    """What adapters are given on every GPU.

    Attributes:
        count: adapters that a batch may have at once (`--max-loras`).
        rank: the rank that each has room for (`--max-lora-rank`).

    """

    count: int
    rank: int


def slots_of(settings: ServerSettings, catalog: Catalog) -> Slots | None:
    """Slots and rank; None for a server without adapters, or with a rank beyond the largest."""
    loading = catalog.loading[settings.server].adapters
    if loading is None or not settings.adapters or not isinstance(settings, VllmSettings):
        return None
    needed = max(one.rank for one in settings.adapters.values())
    rank = next((one for one in loading.ranks if one >= needed), None)
    count = settings.max_loras or min(_USUAL_SLOTS, len(settings.adapters))
    return None if rank is None else Slots(count=count, rank=rank)


def adapter_arguments(settings: ServerSettings, home: str, catalog: Catalog) -> tuple[Argument, ...]:
    """What tells vLLM of the adapters. All are kept in the pod's memory, so that none is read again from disk."""
    slots = slots_of(settings, catalog)
    if slots is None:
        return ()
    texts = ["--enable-lora", f"--max-loras={slots.count}", f"--max-lora-rank={slots.rank}"]
    if len(settings.adapters) > slots.count:
        texts.append(f"--max-cpu-loras={len(settings.adapters)}")
    # A list is one flag with its values behind it.
    texts += ["--lora-modules", *(f"{name}={directory_of(home)}/{name}" for name in sorted(settings.adapters))]
    return tuple(Argument(text, "adapters") for text in texts)


def directory_of(home: str) -> str:
    """Where the adapters lie in the server's container."""
    return f"{home}/adapters"


def adapter_parts(path: str, settings: ServerSettings, model: ServedModel, catalog: Catalog) -> tuple[Unplanned, ...]:
    """What adapters take of every GPU and of the pod's memory, with its bounds."""
    loading, slots = catalog.loading[settings.server].adapters, slots_of(settings, catalog)
    if loading is None or slots is None:
        return ()
    kept = max(len(settings.adapters), slots.count) * slots.rank
    return (
        Unplanned(
            path=f"{path}.adapters",
            name=_NAME,
            what=f"take buffers for {slots.count} of rank {slots.rank} on every GPU, and CUDA graphs of their own",
            at_least=Amount(lora=1.0),
            at_most=loading.at_most,
            adapters=slots.count * slots.rank,
            has_tables=model.loaded_as in loading.with_tables,
            host_mib=kept * _weights_of_rank(model.architecture) * 2 / 2**20,
        ),
    )


def _weights_of_rank(architecture: ModelArchitecture) -> float:
    """Weights that an adapter of all linear layers has for each of its ranks."""
    return architecture.layers * adapter_weights(architecture)


def adapters_gib(settings: ServerSettings, model: ServedModel) -> float:
    """What the adapters' files take on disk at most, in GiB."""
    ranks = sum(one.rank for one in settings.adapters.values())
    return ranks * _weights_of_rank(model.architecture) * _FILE_BYTES * _SLACK / GIB


def adapter_plans(settings: ServerSettings) -> tuple[AdapterPlan, ...]:
    """The adapters, sorted by name."""
    return tuple(
        AdapterPlan(name=name, id=one.id, revision=one.revision, rank=one.rank)
        for name, one in sorted(settings.adapters.items())
    )


def adapter_decisions(settings: ServerSettings, catalog: Catalog) -> Iterator[Decision]:
    """What was decided of adapters, and why."""
    slots = slots_of(settings, catalog)
    if slots is None:
        return
    assert isinstance(settings, VllmSettings)
    count = len(settings.adapters)
    why = "as maxLoras says" if settings.max_loras else f"all up to {_USUAL_SLOTS}; each takes memory from the KV cache"
    yield Decision("adapters", f"{slots.count} of {count} in a batch at once", why)
    yield Decision("adapters", f"room for rank {slots.rank}", "the smallest that vLLM offers and all fit")


def with_download(pod: PodExtras, container: ExtraContainer | None) -> PodExtras:
    """What a pod gets beside what is planned, with the container that downloads adapters before all others."""
    return pod if container is None else replace(pod, init_containers=(container, *pod.init_containers))


def download_container(
    settings: ServerSettings, *, image: str, home: str, user: int | None, secret: tuple[str, str] | None
) -> ExtraContainer | None:
    """The container that downloads adapters, with the server's own image; None for a server without.

    Args:
        settings: the server's settings.
        image: its image, which has huggingface_hub.
        home: its home, on the volume that the model is downloaded to.
        user: user id that its container runs as.
        secret: name of the Secret with the token, and the key there; None without a token.

    """
    if not settings.adapters or not isinstance(settings, VllmSettings):
        return None
    asked = [f"{one.name}={one.id}@{one.revision}:{one.rank}" for one in adapter_plans(settings)]
    variables = (
        [VariableReference(name=name, kind="Secret", object_name=secret[0], key=secret[1]) for name in TOKEN_VARIABLES]
        if secret
        else []
    )
    environment = {"HF_HOME": f"{home}/.cache/huggingface", "HF_HUB_DISABLE_TELEMETRY": "1", "HOME": home}
    return ExtraContainer(
        name=ADAPTERS_CONTAINER,
        image=image,
        command=("python3", "-c", _program()),
        args=(directory_of(home), *asked),
        environment=tuple(sorted(environment.items())),
        variables=tuple(sorted(variables, key=lambda one: one.name)),
        mounts=((CACHE_VOLUME, home, False),),
        cpu_millicores=_CPU_MILLICORES,
        memory_gib=_MEMORY_GIB,
        user=user,
        writable=False,
    )


@lru_cache(maxsize=1)
def _program() -> str:
    return (Path(__file__).parent / "download.py").read_text(encoding="utf-8")
