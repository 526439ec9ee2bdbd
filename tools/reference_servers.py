"""Servers that the pages on presets compare: planned as a stack's own, with their speed and their machine's price.

Each figure of the pages has one function here.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.performance_facts import read_performance_facts
from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.planning.machines import cheapest_machine, gpu_counts
from gke_llm_inference.planning.memory import MemoryPlan
from gke_llm_inference.planning.performance.bands import Band, Quantity, error_band
from gke_llm_inference.planning.performance.load import Load
from gke_llm_inference.planning.performance.prediction import server_limits
from gke_llm_inference.planning.performance.replica import Replica, usd_per_million
from gke_llm_inference.planning.performance.simulation import ServerLimits, simulate
from gke_llm_inference.planning.performance.step_time import StepTimer
from gke_llm_inference.planning.performance.timer import step_timer
from gke_llm_inference.planning.performance.workload import Workload, workload_of
from gke_llm_inference.planning.pods import pod_request
from gke_llm_inference.settings import WorkloadSettings, parse_settings

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
PROFILE = "chat"
REGION = "us-central1"
LIMITS = {"maxModelLen": 8192, "maxNumSeqs": 256, "maxNumBatchedTokens": 2048}
"""What every compared server states, so that a GPU's own defaults are no difference."""
LOAD_CONTEXT = 4096
"""Tokens to which the load's requests are cut: what the shortest context of a compared server holds."""
IN_FLIGHT = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Server:
    """A planned server and what its speed and price follow from; one is equal to itself alone.

    Attributes:
        gpu: GKE's name of the GPU.
        gpus: of the replica.
        plan: its memory.
        machine_type: cheapest machine with those GPUs that holds the pod.
        usd_per_hour: list price of the machine in `REGION`.
        spot: whether that is the price on Spot, as the machine is not sold on demand.

    """

    gpu: str
    gpus: int
    plan: MemoryPlan
    timer: StepTimer
    machine_type: str
    usd_per_hour: float
    spot: bool

    def limits(self, prefix_hit_rate: float = 0.0) -> ServerLimits:
        """What bounds its batches."""
        return server_limits(
            self.plan.request,
            kv_tokens(self),
            load_catalog().memory,
            read_performance_facts(),
            prefix_hit_rate=prefix_hit_rate,
        )


def known_gpus() -> tuple[str, ...]:
    """GPUs that the catalog offers one by one and whose roofs are known, slowest first."""
    catalog, roofs = load_catalog(), read_performance_facts().gpus
    memory = catalog.memory.versions.visible_memory
    found = [gpu for gpu in roofs if 1 in gpu_counts(gpu, catalog) and gpu in memory]
    return tuple(sorted(found, key=lambda gpu: (roofs[gpu].bf16_tflops, roofs[gpu].bandwidth_gb_per_s)))


def profile_load(rate: float | None = None) -> Workload:
    """The profile's requests, at so many a second, as `optimize --workload` takes them."""
    return workload_of(WorkloadSettings(profile=PROFILE, request_rate=rate), load_catalog().workloads)


@cache
def chat() -> Workload:
    """The requests that the pages serve: the profile's lengths, cut to `LOAD_CONTEXT`."""
    return profile_load().within(LOAD_CONTEXT)


def planned_server(**settings: Any) -> Server:
    """A server of these settings with the reference model, unless they say another, on an existing cluster.

    Raises:
        Refusal: the planner refuses it; with every problem.

    """
    catalog, facts = load_catalog(), read_performance_facts()
    server = {"server": "vllm", "model": MODEL, **settings}
    raw = {
        "cluster": {"mode": "existing", "kubeconfigContext": "reference"},
        "huggingFace": {"tokenSource": "existingSecret"},
        "servers": {"reference": server},
    }
    (found,) = plan_stack(parse_settings(raw), StackIdentity("reference", "reference", "reference"), catalog).servers
    assert found.memory is not None, "the GPUs of the pages are known"
    machine = cheapest_machine(found.gpu_type, found.gpu_count, pod_request(found.resources), catalog)
    assert machine is not None, "the catalog has a machine with those GPUs"
    listed, _ = catalog.price(machine, REGION)
    assert listed is not None, "the machine has a price in the region"
    spot = "onDemand" not in catalog.machine_types[machine].provisioning
    return Server(
        gpu=found.gpu_type,
        gpus=found.gpu_count,
        plan=found.memory,
        timer=step_timer(found.memory.request, facts.gpus[found.gpu_type], catalog.memory, facts),
        machine_type=machine,
        usd_per_hour=listed.spot if spot else listed.on_demand,
        spot=spot,
    )


def request_tokens() -> int:
    """Tokens of a mean request of the load at its end."""
    return round(chat().mean_input + chat().mean_output)


def prompt_tokens() -> int:
    """The prompt whose first token is told: the profile's 90th percentile, longer than one step's tokens."""
    tokens = load_catalog().workloads[PROFILE].input_tokens
    return tokens.p90 or tokens.p50


def step_ms(server: Server, sequences: int) -> float:
    """Time of a step in which so many requests of the load decode, each half way through its answer; ms."""
    context = sequences * (chat().mean_input + chat().mean_output / 2)
    return max(server.timer.gpu_ms(sequences, context, 0, 0, 0), server.timer.host_ms(sequences, 0))


def kv_tokens(server: Server) -> int:
    """Tokens that the KV cache holds at a first start."""
    return server.plan.cold.kv_cache_tokens


def kv_tokens_margin(server: Server) -> int:
    """How far the tokens of the KV cache may be from the plan."""
    return round(server.plan.error_margin_mib * 2**20 / server.plan.kv_bytes_per_token)


def requests_at_once(server: Server) -> int:
    """Mean requests of the load that the KV cache and the limit of sequences let run at once."""
    return min(server.plan.limits.max_num_seqs, kv_tokens(server) // request_tokens())


def longest_at_once(server: Server) -> float:
    """Requests of the longest context that run at once."""
    return min(float(server.plan.limits.max_num_seqs), server.plan.cold.max_concurrency)


@cache
def first_token_ms(server: Server, prefix_hit_rate: float = 0.0) -> float:
    """Time to the first token of the told prompt on an idle server; ms."""
    lone = Load(prompts=(prompt_tokens(),), outputs=(1,), concurrency=1)
    return simulate(server.timer, server.limits(prefix_hit_rate), lone).first_ms[0]


@cache
def tokens_per_second(server: Server, prefix_hit_rate: float = 0.0) -> float:
    """Output tokens a second of a server that always has `IN_FLIGHT` requests of the load to serve or to queue."""
    busy = replace(chat(), concurrency=IN_FLIGHT)
    roofs = read_performance_facts().gpus[server.gpu]
    return Replica(server.timer, server.limits(prefix_hit_rate), roofs, busy).at(IN_FLIGHT).output_tokens_per_second


def price(server: Server, prefix_hit_rate: float = 0.0) -> float:
    """USD for a million output tokens of that busy server, at its machine's list price; input is not counted."""
    return usd_per_million(server.usd_per_hour, tokens_per_second(server, prefix_hit_rate))


def band(server: Server, quantity: Quantity) -> Band:
    """How far the prediction of a quantity may be off, and what it rests on."""
    facts = read_performance_facts()
    return error_band(quantity, server.plan.request, facts.gpus[server.gpu], facts)
