"""The catalog's facts are those of their sources, fit together, and cannot be changed."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.catalog.facts import machine_family

CATALOG = load_catalog()
DIRECTORY = Path(__file__).parents[2] / "gke_llm_inference" / "catalog"
FILES = sorted(path for folder in (".", "servers", "memory", "models") for path in (DIRECTORY / folder).glob("*.yaml"))
G2 = {
    # machine: vCPU, GiB, L4, on demand and Spot in us-central1
    "g2-standard-4": (4, 16, 1, 0.7068, 0.4240),
    "g2-standard-8": (8, 32, 1, 0.8536, 0.5120),
    "g2-standard-12": (12, 48, 1, 1.0004, 0.6001),
    "g2-standard-16": (16, 64, 1, 1.1472, 0.6881),
    "g2-standard-24": (24, 96, 2, 2.0008, 1.2001),
    "g2-standard-32": (32, 128, 1, 1.7344, 1.0403),
    "g2-standard-48": (48, 192, 4, 4.0017, 2.4003),
    "g2-standard-96": (96, 384, 8, 8.0033, 4.8005),
}
OTHERS = {
    # machine: GPU, count, vCPU, GiB
    "a2-highgpu-1g": ("nvidia-tesla-a100", 1, 12, 85),
    "a2-ultragpu-1g": ("nvidia-a100-80gb", 1, 12, 170),
    "a3-highgpu-1g": ("nvidia-h100-80gb", 1, 26, 234),
    "a3-highgpu-2g": ("nvidia-h100-80gb", 2, 52, 468),
    "a3-highgpu-4g": ("nvidia-h100-80gb", 4, 104, 936),
    "a3-highgpu-8g": ("nvidia-h100-80gb", 8, 208, 1872),
    "a3-ultragpu-8g": ("nvidia-h200-141gb", 8, 224, 2952),
    "a4-highgpu-8g": ("nvidia-b200", 8, 224, 3968),
    "g4-standard-48": ("nvidia-rtx-pro-6000", 1, 48, 180),
    "g4-standard-96": ("nvidia-rtx-pro-6000", 2, 96, 360),
    "g4-standard-192": ("nvidia-rtx-pro-6000", 4, 192, 720),
    "g4-standard-384": ("nvidia-rtx-pro-6000", 8, 384, 1440),
    "n1-standard-8": ("nvidia-tesla-t4", 1, 8, 30),
    "n1-standard-32": ("nvidia-tesla-t4", 2, 32, 120),
    "n1-standard-64": ("nvidia-tesla-t4", 4, 64, 240),
}
UNPRICED = {
    # Regions of a family whose prices no source with a date gives.
    "a3-ultragpu": CATALOG.accelerators["nvidia-h200-141gb"].zones,
    "a4-highgpu": CATALOG.accelerators["nvidia-b200"].zones,
    "g4-standard": ("asia-northeast1", "southamerica-east1"),
    "n1-standard": CATALOG.accelerators["nvidia-tesla-t4"].zones,
}
UNBOUNDED = ("nvidia-b200", "nvidia-h200-141gb", "nvidia-rtx-pro-6000", "nvidia-tesla-t4")
L4_ZONES = (
    "asia-east1 a,b,c | asia-northeast1 a,b,c | asia-northeast3 a,b | asia-south1 a,b,c | asia-southeast1 a,b,c | "
    "europe-west1 b,c | europe-west2 a,b | europe-west3 a,b | europe-west4 a,b,c | europe-west6 b,c | "
    "me-central2 a,c | northamerica-northeast1 b,c | northamerica-northeast2 a,b | us-central1 a,b,c | "
    "us-east1 b,c,d | us-east4 a,c | us-west1 a,b,c | us-west4 a,c"
)
MODELS = {
    # model: layers, hidden, heads, KV heads, head_dim, feed-forward, vocabulary, context, window and its layers,
    # parameters, tied embeddings, gated
    "google/gemma-7b": (28, 3072, 16, 16, 256, 24576, 256000, 8192, None, 8_537_680_896, True, True),
    "google/gemma-7b-it": (28, 3072, 16, 16, 256, 24576, 256000, 8192, None, 8_537_680_896, True, True),
    "google/gemma-2-9b-it": (42, 3584, 16, 8, 256, 14336, 256000, 8192, (4096, 21), 9_241_705_984, True, True),
    "google/gemma-2-27b-it": (46, 4608, 32, 16, 128, 36864, 256000, 8192, (4096, 23), 27_227_128_320, True, True),
    "google/gemma-3-1b-it": (26, 1152, 4, 1, 256, 6912, 262144, 32768, (512, 22), 999_885_952, True, True),
    "google/gemma-3-4b-it": (34, 2560, 8, 4, 256, 10240, 262208, 131072, (1024, 29), 4_300_079_472, True, True),
    "google/gemma-3-12b-it": (48, 3840, 16, 8, 256, 15360, 262208, 131072, (1024, 40), 12_187_325_040, True, True),
    "google/gemma-3-27b-it": (62, 5376, 32, 16, 128, 21504, 262208, 131072, (1024, 52), 27_432_406_640, True, True),
    "meta-llama/Llama-2-13b-hf": (40, 5120, 40, 40, 128, 13824, 32000, 4096, None, 13_015_864_320, False, True),
    "meta-llama/Llama-3.1-8B-Instruct": (
        *(32, 4096, 32, 8, 128, 14336, 128256, 131072, None, 8_030_261_248, False, True),
    ),
    "meta-llama/Llama-3.1-70B-Instruct": (
        *(80, 8192, 64, 8, 128, 28672, 128256, 131072, None, 70_553_706_496, False, True),
    ),
    "mistralai/Mistral-7B-Instruct-v0.3": (
        *(32, 4096, 32, 8, 128, 14336, 32768, 32768, None, 7_248_023_552, False, True),
    ),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": (
        *(32, 4096, 32, 8, 128, 14336, 32000, 32768, None, 46_702_792_704, False, False),
    ),
    "Qwen/Qwen2.5-7B-Instruct": (28, 3584, 28, 4, 128, 18944, 152064, 32768, None, 7_615_616_512, False, False),
    "tiiuae/falcon-40b-instruct": (60, 8192, 128, 8, 64, 32768, 65024, 2048, None, 41_835_970_560, False, False),
}
WEIGHTS_GIB = {
    "google/gemma-7b": 15.90,
    "google/gemma-7b-it": 15.90,
    "google/gemma-2-9b-it": 17.21,
    "google/gemma-2-27b-it": 50.71,
    "google/gemma-3-1b-it": 1.86,
    "google/gemma-3-4b-it": 8.01,
    "google/gemma-3-12b-it": 22.70,
    "google/gemma-3-27b-it": 51.10,
    "meta-llama/Llama-2-13b-hf": 24.24,
    "meta-llama/Llama-3.1-8B-Instruct": 14.96,
    "meta-llama/Llama-3.1-70B-Instruct": 131.42,
    "mistralai/Mistral-7B-Instruct-v0.3": 13.50,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 86.99,
    "Qwen/Qwen2.5-7B-Instruct": 14.19,
    "tiiuae/falcon-40b-instruct": 77.93,
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DIRECTORY)))
def test_every_file_says_where_its_facts_are_from_and_when_they_were_read(path: Path) -> None:
    document = yaml.safe_load(path.read_text("utf-8"))
    assert re.search(r"\w+[./ -]\w+", document["source"])
    assert date.fromisoformat(str(document["date"])) >= date(2026, 1, 1)


def sourced_in(value: Any) -> list[dict[str, Any]]:
    """Every mapping of a document that states a source of its own."""
    if isinstance(value, dict):
        own = [value] if "source" in value else []
        return [*own, *(found for entry in value.values() for found in sourced_in(entry))]
    return [found for entry in value for found in sourced_in(entry)] if isinstance(value, list) else []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DIRECTORY)))
def test_a_source_is_a_sentence_and_a_date_beside_it_is_one(path: Path) -> None:
    document = yaml.safe_load(path.read_text("utf-8"))
    for facts in sourced_in(document):
        assert re.search(r"\w+[./ -]\w+", facts["source"])
        assert date.fromisoformat(str(facts.get("date", document["date"]))) >= date(2026, 1, 1)


@pytest.mark.parametrize(("name", "facts"), G2.items(), ids=G2)
def test_a_g2_machine_has_its_published_shape_and_price(name: str, facts: tuple[int, int, int, float, float]) -> None:
    machine = CATALOG.machine_types[name]
    assert machine.accelerator == "nvidia-l4"
    assert machine.usd_per_hour is not None
    prices = machine.usd_per_hour.on_demand, machine.usd_per_hour.spot
    assert (machine.vcpus, machine.memory_gib, machine.gpus, *prices) == facts


@pytest.mark.parametrize(("name", "facts"), OTHERS.items(), ids=OTHERS)
def test_a_machine_has_its_published_shape(name: str, facts: tuple[str, int, int, int]) -> None:
    machine = CATALOG.machine_types[name]
    assert (machine.accelerator, machine.gpus, machine.vcpus, machine.memory_gib) == facts


@pytest.mark.parametrize(
    ("machine", "region", "on_demand", "spot"),
    [
        ("g2-standard-12", "europe-west4", 1.0515, 0.6309),
        ("g2-standard-24", "me-central2", 3.2013, 1.9207),
        ("g2-standard-32", "asia-northeast1", 2.2273, 1.3363),
        ("a2-highgpu-2g", "asia-northeast3", 8.0992, 4.8594),
        ("a2-ultragpu-2g", "us-east4", 11.4155, 4.8943),
        ("a3-highgpu-2g", "us-west4", 24.9122, 11.2906),
        ("g4-standard-48", "us-central1", 4.4999, 1.6494),
        ("g4-standard-384", "asia-southeast2", 46.7967, 19.1003),
    ],
)
def test_a_machine_costs_what_the_source_says_for_the_region(
    machine: str, region: str, on_demand: float, spot: float
) -> None:
    prices, of = CATALOG.price(machine, region)
    assert prices is not None
    assert (prices.on_demand, prices.spot, of) == (on_demand, spot, region)


def test_every_machine_has_prices_where_its_gpu_is_offered_or_is_known_to_have_none() -> None:
    unpriced = {family: set(priced) for family, priced in UNPRICED.items()}
    for name, machine in CATALOG.machine_types.items():
        offered = set(CATALOG.accelerators[machine.accelerator].zones)
        priced = set(CATALOG.prices.families.get(machine_family(name), {}))
        assert offered - priced == unpriced.get(machine_family(name), set()) & offered
        assert priced <= offered
    assert set(CATALOG.prices.families) == {"g2-standard", "a2-highgpu", "a2-ultragpu", "a3-highgpu", "g4-standard"}
    assert CATALOG.prices.reference_region in CATALOG.prices.families["g2-standard"]


def test_spot_is_cheaper_than_on_demand_everywhere() -> None:
    for name, machine in CATALOG.machine_types.items():
        for region in CATALOG.accelerators[machine.accelerator].zones:
            prices, of = CATALOG.price(name, region)
            assert of == region
            assert prices is None or 0 < prices.spot < prices.on_demand


def test_a_price_that_is_missing_is_absent() -> None:
    assert CATALOG.price("g2-standard-8", "us-south1") == (None, "us-south1")
    assert CATALOG.price("g4-standard-48", "southamerica-east1") == (None, "southamerica-east1")
    assert CATALOG.price("n1-standard-8", "us-central1") == (None, "us-central1")


def test_where_the_region_is_not_known_the_reference_regions_prices_stand_in() -> None:
    assert CATALOG.price("g2-standard-8", None) == CATALOG.price("g2-standard-8", "us-central1")


def test_every_g2_machine_is_known() -> None:
    assert {name for name in CATALOG.machine_types if name.startswith("g2-")} == set(G2)


def test_l4_zones_are_those_of_the_compute_engine_api() -> None:
    published = {part.split()[0]: tuple(part.split()[1].split(",")) for part in L4_ZONES.split(" | ")}
    assert CATALOG.accelerators["nvidia-l4"].zones == published


def test_the_zones_of_a_region_have_full_names_in_order() -> None:
    l4 = CATALOG.accelerators["nvidia-l4"]
    assert l4.zones_in("us-east4") == ("us-east4-a", "us-east4-c")
    assert l4.zones_in("us-east1") == ("us-east1-b", "us-east1-c", "us-east1-d")
    assert l4.zones_in("us-south1") == ()
    assert l4.zones_in("") == ()


@pytest.mark.parametrize("name", CATALOG.machine_types)
def test_every_machine_has_a_gpu_of_the_catalog(name: str) -> None:
    assert CATALOG.machine_types[name].accelerator in CATALOG.accelerators


@pytest.mark.parametrize("name", CATALOG.accelerators)
def test_every_gpu_has_machines_zones_and_autopilot_bounds(name: str) -> None:
    accelerator = CATALOG.accelerators[name]
    counts = {machine.gpus for machine in CATALOG.machine_types.values() if machine.accelerator == name}
    assert counts == {"nvidia-h200-141gb": {8}, "nvidia-b200": {8}, "nvidia-tesla-t4": {1, 2, 4}}.get(
        name, {1, 2, 4, 8}
    )
    assert accelerator.autopilot_maxima.keys() <= counts
    assert bool(accelerator.autopilot_maxima) == (name not in UNBOUNDED)
    assert name in CATALOG.memory.versions.visible_memory
    assert accelerator.quota.spot == f"PREEMPTIBLE_{accelerator.quota.on_demand}"
    assert all(accelerator.zones.values()) == (name != "nvidia-rtx-pro-6000")
    for region, letters in accelerator.zones.items():
        assert re.fullmatch(r"[a-z]+-[a-z]+\d+", region)
        assert letters == tuple(sorted(set(letters)))


def test_gpus_whose_speed_is_known_are_the_catalogs_own() -> None:
    for name, roofs in CATALOG.performance.gpus.items():
        assert roofs.compute_capability == CATALOG.accelerators[name].compute_capability
    assert set(CATALOG.accelerators) - set(CATALOG.performance.gpus) == {
        "nvidia-b200",
        "nvidia-rtx-pro-6000",
        "nvidia-tesla-t4",
    }


def test_no_machine_has_autopilot_bounds_that_exceed_it() -> None:
    for name, accelerator in CATALOG.accelerators.items():
        for gpus, bounds in accelerator.autopilot_maxima.items():
            machines = [
                machine
                for machine in CATALOG.machine_types.values()
                if (machine.accelerator, machine.gpus) == (name, gpus)
            ]
            assert bounds.cpu < max(machine.vcpus for machine in machines)
            assert bounds.memory_gib < max(machine.memory_gib for machine in machines)


def test_autopilot_floors_lie_below_its_maxima() -> None:
    for name, floors in CATALOG.gke.autopilot_floors.items():
        for gpus, floor in floors.items():
            maximum = CATALOG.accelerators[name].autopilot_maxima[gpus]
            assert floor.cpu <= maximum.cpu
            assert floor.memory_gib <= maximum.memory_gib


def test_two_l4_on_autopilot_get_at_least_what_googles_guide_states() -> None:
    floor = CATALOG.gke.autopilot_floors["nvidia-l4"][2]
    assert (floor.cpu, floor.memory_gib) == (21, 78)


def test_the_catalog_has_the_models_of_this_table() -> None:
    assert set(MODELS) == set(WEIGHTS_GIB) <= set(CATALOG.models)


@pytest.mark.parametrize(("name", "facts"), MODELS.items(), ids=MODELS)
def test_a_model_has_the_numbers_of_its_config(name: str, facts: tuple[Any, ...]) -> None:
    model = CATALOG.models[name]
    window = (model.sliding_window.size, model.sliding_window.layers) if model.sliding_window else None
    assert facts == (
        *(model.layers, model.hidden_size, model.attention_heads, model.kv_heads, model.head_dim),
        *(model.intermediate_size, model.vocab_size, model.max_positions, window, model.parameters),
        *(model.tied_embeddings, model.gated),
    )


@pytest.mark.parametrize(("name", "gib"), WEIGHTS_GIB.items(), ids=WEIGHTS_GIB)
def test_the_weights_of_a_model_have_their_published_size(name: str, gib: float) -> None:
    assert CATALOG.models[name].weights_gib == pytest.approx(gib, abs=0.005)


def test_weights_of_four_bytes_take_twice_the_room_of_two() -> None:
    model = CATALOG.models["google/gemma-7b"]
    assert model.model_copy(update={"dtype": "float32"}).weights_gib == 2 * model.weights_gib
    assert model.model_copy(update={"dtype": "float16"}).weights_gib == model.weights_gib


def test_of_the_models_of_this_table_only_mixtral_has_experts() -> None:
    experts = {name: CATALOG.models[name].experts for name in MODELS}
    mixtral = experts["mistralai/Mixtral-8x7B-Instruct-v0.1"]
    assert [name for name, one in experts.items() if one] == ["mistralai/Mixtral-8x7B-Instruct-v0.1"]
    assert mixtral is not None
    assert (mixtral.count, mixtral.per_token) == (8, 2)


@pytest.mark.parametrize("name", CATALOG.models)
def test_the_shape_of_a_model_is_possible(name: str) -> None:
    model = CATALOG.models[name]
    assert model.attention_heads % model.kv_heads == 0
    if model.sliding_window:
        assert model.sliding_window.layers <= model.layers
        assert model.sliding_window.size <= model.max_positions


@pytest.mark.parametrize(
    ("kind", "version", "image"),
    [
        ("vllm", "0.26.0", "docker.io/vllm/vllm-openai:v0.26.0"),
        ("tgi", "3.3.7", "ghcr.io/huggingface/text-generation-inference:3.3.7"),
    ],
)
def test_a_server_has_the_image_of_its_version(kind: Any, version: str, image: str) -> None:
    server = CATALOG.servers[kind]
    assert server.default_version == version
    assert server.image(version) == image


@pytest.mark.parametrize("kind", ["vllm", "tgi"])
def test_a_server_listens_and_keeps_its_files_where_its_image_may(kind: Any) -> None:
    server = CATALOG.servers[kind]
    assert server.default_version in server.known_versions
    assert list(server.known_versions) == sorted(server.known_versions, key=lambda text: [*map(int, text.split("."))])
    assert server.health_path == "/health"
    assert server.port >= 1024
    assert server.environment["HF_HOME"].startswith(server.home)


def test_no_server_has_a_token_in_its_environment() -> None:
    for server in CATALOG.servers.values():
        assert not {name for name in server.environment if "TOKEN" in name}


def facts_in(value: Any) -> list[BaseModel]:
    """`value` and every entry of the catalog below it."""
    if isinstance(value, BaseModel):
        return [value, *(found for name in type(value).model_fields for found in facts_in(getattr(value, name)))]
    if isinstance(value, dict):
        return [found for entry in value.values() for found in facts_in(entry)]
    if isinstance(value, tuple):
        return [found for entry in value for found in facts_in(entry)]
    return []


def test_no_fact_can_be_changed() -> None:
    for facts in facts_in(CATALOG):
        for name in type(facts).model_fields:
            with pytest.raises(ValidationError, match="frozen"):
                setattr(facts, name, getattr(facts, name))


def test_the_catalog_is_read_once() -> None:
    assert load_catalog() is load_catalog()


@pytest.mark.parametrize("path", [(), ("gke",), ("models", "google/gemma-7b")], ids=["top", "GKE", "a model"])
def test_a_misspelled_fact_is_an_error(path: tuple[str, ...]) -> None:
    document = CATALOG.model_dump(mode="json", by_alias=True)
    target = document
    for key in path:
        target = target[key]
    target["unheardOf"] = 1
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Catalog.model_validate(document)
