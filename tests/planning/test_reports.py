"""What the planning command prints: costs, quota, JSON and table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.cli.models_report import model_rows, models_text
from gke_llm_inference.cli.plan_report import stack_document, stack_text
from gke_llm_inference.cli.unfit import plan_unfit
from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.planning.cost import HOURS_PER_MONTH, Cost, total_cost
from gke_llm_inference.settings import parse_settings
from tests.settings.support import Raw

REPOSITORY = Path(__file__).resolve().parents[2]
CATALOG = load_catalog()
QWEN = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 8192}


def plan_of(pools: Raw, servers: Raw, location: str = "us-central1") -> StackPlan:
    mode = "standard" if pools else "autopilot"
    raw = {"cluster": {"mode": mode, "location": location}, "servers": servers}
    if pools:
        raw["nodePools"] = pools
    return plan_stack(parse_settings(raw), StackIdentity("llm", "test", "my-project"))


def test_a_server_costs_its_nodes_and_an_idle_pool_its_least_nodes() -> None:
    document = stack_document(
        plan_of({"l4": {"minNodes": 1, "maxNodes": 4}}, {"qwen": {**QWEN, "replicas": 3}}), CATALOG
    )
    price = 0.8536
    assert document["servers"]["qwen"]["cost"]["hourlyUsd"] == pytest.approx(3 * price)
    assert document["servers"]["qwen"]["cost"]["monthlyUsd"] == pytest.approx(3 * price * HOURS_PER_MONTH)
    assert document["cost"]["hourlyUsd"] == pytest.approx(3 * price)
    assert document["cost"]["idleHourlyUsd"] == pytest.approx(price)
    assert (document["cost"]["priceRegion"], document["cost"]["priceDate"]) == ("us-central1", "2026-08-20")


def test_spot_has_its_own_price_and_quota() -> None:
    pools = {"l4": {"maxNodes": 2, "provisioning": {"model": "spot"}}}
    document = stack_document(plan_of(pools, {"qwen": QWEN}), CATALOG)
    assert document["cost"]["hourlyUsd"] == pytest.approx(0.5120)
    assert document["quota"] == [
        {"name": "GPUS_ALL_REGIONS", "running": 1, "largest": 2},
        {"name": "PREEMPTIBLE_NVIDIA_L4_GPUS", "running": 1, "largest": 2},
    ]


def test_a_million_tokens_have_a_price_only_with_a_measured_throughput() -> None:
    pools = {"l4": {"maxNodes": 2}}
    measured = {**QWEN, "replicas": 2, "measuredTokensPerSecond": 500}
    plan = plan_of(pools, {"qwen": measured})
    # One replica costs 0.8536 USD an hour, in which it makes 1.8 million tokens.
    expected = round(0.8536 / 1.8, 4)
    assert stack_document(plan, CATALOG)["servers"]["qwen"]["cost"]["usdPerMillionTokens"] == pytest.approx(expected)
    assert "tokens     0.47 USD a million, at the measured 500 a second" in stack_text(plan, CATALOG)
    document = stack_document(plan_of(pools, {"qwen": QWEN}), CATALOG)
    assert document["servers"]["qwen"]["cost"]["usdPerMillionTokens"] is None


def test_the_start_is_the_sum_of_its_parts() -> None:
    startup = stack_document(plan_of({"l4": {}}, {"qwen": QWEN}), CATALOG)["servers"]["qwen"]["startup"]
    parts = {part["part"]: part for part in startup["parts"]}
    assert list(parts) == ["node", "imagePull", "download", "load", "process", "compile", "graphs"]
    seconds = {name: part["seconds"] for name, part in parts.items()}
    inside = sum(seconds.values()) - seconds["node"] - seconds["imagePull"]
    assert inside - 2 <= startup["expectedSeconds"] <= inside
    assert startup["newNodeSeconds"] - startup["expectedSeconds"] == 480 + 240
    assert startup["restartSeconds"] < startup["expectedSeconds"] - seconds["download"]
    assert all(part["source"] and part["basis"] in ("measured", "published", "assumed") for part in startup["parts"])
    # The old pod ends, a node comes within 15 minutes, the image takes twice as long, and the start all it may.
    assert startup["progressDeadlineSeconds"] == startup["graceSeconds"] + 900 + 2 * 240 + startup["budgetSeconds"]


def test_the_price_of_autopilot_is_not_guessed() -> None:
    cost = stack_document(plan_of({}, {"qwen": QWEN}), CATALOG)["cost"]
    assert (cost["hourlyUsd"], cost["idleHourlyUsd"]) == (None, 0.0)
    assert "premium" in cost["note"]


@pytest.mark.parametrize(
    ("region", "provisioning", "hourly"),
    [
        ("us-central1", "onDemand", 0.8536),
        ("us-central1", "spot", 0.5120),
        ("europe-west4", "onDemand", 0.8972),
        ("europe-west4", "spot", 0.5384),
    ],
)
def test_a_server_costs_what_its_region_asks(region: str, provisioning: str, hourly: float) -> None:
    pools = {"l4": {"provisioning": {"model": provisioning}}}
    cost = stack_document(plan_of(pools, {"qwen": QWEN}, region), CATALOG)["servers"]["qwen"]["cost"]
    assert (cost["hourlyUsd"], cost["priceRegion"], cost["note"]) == (pytest.approx(hourly), region, "")
    assert cost["monthlyUsd"] == pytest.approx(hourly * 730)


def test_a_region_without_prices_is_shown_no_others() -> None:
    families = {
        name: {region: price for region, price in regions.items() if region != "europe-west4"}
        for name, regions in CATALOG.prices.families.items()
    }
    catalog = CATALOG.model_copy(update={"prices": CATALOG.prices.model_copy(update={"families": families})})
    plan = plan_of({"l4": {}}, {"qwen": QWEN}, location="europe-west4")
    cost = stack_document(plan, catalog)["cost"]
    assert (cost["hourlyUsd"], cost["priceRegion"]) == (None, None)
    assert cost["note"] == "no price known of g2-standard-8 in europe-west4"


def test_alternatives_cost_what_the_region_asks() -> None:
    unfit = {"server": "vllm", "model": "google/gemma-7b-it", "allowUnfit": True}
    raw = {
        "cluster": {"mode": "standard", "location": "europe-west4"},
        "huggingFace": {"tokenSource": "config"},
        "nodePools": {"l4": {}},
        "servers": {"gemma": unfit},
    }
    plan = plan_stack(parse_settings(raw), StackIdentity("llm", "test", "my-project"))
    alternatives = stack_document(plan, CATALOG)["servers"]["gemma"]["alternatives"]
    assert {one["usdPerHour"] for one in alternatives if one["machineType"] == "g2-standard-8"} == {0.8972}
    # A pod of one L4 requests more than a g2-standard-4 leaves to pods.
    assert "g2-standard-4" not in {one["machineType"] for one in alternatives}


def test_flex_start_on_an_a100_is_said_to_cost_less() -> None:
    def note(accelerator: str) -> str:
        pools = {"gpu": {"accelerator": {"type": accelerator}, "provisioning": {"model": "flexStart"}}}
        server = {**QWEN, "accelerator": {"type": accelerator}}
        return str(stack_document(plan_of(pools, {"qwen": server}), CATALOG)["cost"]["note"])

    assert note("nvidia-tesla-a100") == "on-demand prices; flex-start machines of this family cost less"
    assert note("nvidia-l4") == ""


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    known = Cost(hourly_usd=1.0, idle_hourly_usd=0.5, region="us-central1")
    unknown = Cost(hourly_usd=None, idle_hourly_usd=None, note="no price")
    assert total_cost([known, unknown]) == Cost(hourly_usd=None, idle_hourly_usd=None, note="no price")
    assert total_cost([known, known]) == Cost(hourly_usd=2.0, idle_hourly_usd=1.0, region="us-central1")
    assert total_cost([]).hourly_usd == 0


def test_the_document_has_what_programs_rely_on() -> None:
    server = stack_document(plan_of({"l4": {}}, {"qwen": QWEN}), CATALOG)["servers"]["qwen"]
    assert server["verdict"] == "fits"
    assert set(server["memory"]) >= {
        *("gpuMemoryGib", "usableGib", "weightsGib", "activationGib", "cudaGraphsGib", "nonTorchGib", "kvCacheGib"),
        *("kvCacheTokens", "largestContext", "maxConcurrency"),
    }
    assert set(server["placement"]) >= {"machineType", "gpus", "cpu", "memoryGib", "ephemeralGib"}
    assert set(server["startup"]) >= {"expectedSeconds", "budgetSeconds"}
    assert set(server["cost"]) >= {"hourlyUsd", "monthlyUsd", "priceDate"}
    assert server["args"][0] == "Qwen/Qwen2.5-7B-Instruct"
    assert json.loads(json.dumps(server)) == server


def test_the_parts_of_the_budget_are_all_of_it() -> None:
    memory = stack_document(plan_of({"l4": {}}, {"qwen": QWEN}), CATALOG)["servers"]["qwen"]["memory"]
    inside = memory["weightsGib"] + memory["activationGib"] + memory["nonTorchGib"] + memory["kvCacheGib"]
    assert inside == pytest.approx(memory["usableGib"], abs=0.01)


def test_the_table_keeps_to_eighty_columns_but_for_names_and_reasons() -> None:
    text = stack_text(plan_of({"l4": {}}, {"qwen": QWEN}), CATALOG)
    assert max(map(len, text.splitlines())) <= 80
    assert "  verdict    fits\n" in text


def test_one_server_can_be_asked_for() -> None:
    plan = plan_of({"l4": {"maxNodes": 2}}, {"one": QWEN, "two": QWEN})
    assert list(stack_document(plan, CATALOG, "two")["servers"]) == ["two"]
    assert "\none:" not in f"\n{stack_text(plan, CATALOG, 'two')}"


def test_the_guides_models_on_one_l4() -> None:
    rows = {(row.model, row.weights): row for row in model_rows("nvidia-l4", 1, CATALOG)}
    assert 4096 <= rows["google/gemma-7b", "own precision"].context < 8192
    assert rows["google/gemma-7b", "4-bit AWQ"].context == 8192
    assert rows["meta-llama/Llama-2-13b-hf", "own precision"].context == 0
    assert rows["meta-llama/Llama-2-13b-hf", "4-bit AWQ"].context == 4096
    on_two = {(row.model, row.weights): row for row in model_rows("nvidia-l4", 2, CATALOG)}
    assert on_two["meta-llama/Llama-2-13b-hf", "own precision"].context == 4096


def command(
    *arguments: str, module: tuple[str, ...] = ("gke_llm_inference", "plan")
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *module, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_limit_far_below_what_fits_is_said_to_gain_nothing() -> None:
    def gemma(limit: int) -> StackPlan:
        raw = {
            "cluster": {"mode": "autopilot", "location": "us-central1"},
            "huggingFace": {"tokenSource": "existingSecret"},
            "servers": {"gemma": {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": limit}},
        }
        return plan_stack(parse_settings(raw), StackIdentity("llm", "test", "my-project"))

    # The limit of Google's guide for this model on one L4.
    note = (
        "6,400 tokens fit as well: vllm 0.26.0 gives the 2.79 GiB left to its KV cache, whatever the limit, and hands "
        "them out in blocks"
    )
    assert stack_document(gemma(640), CATALOG)["servers"]["gemma"]["memory"]["contextNote"] == note
    text = " ".join(stack_text(gemma(640), CATALOG).split())
    assert f"context 640 requested, 6,528 max; 10.2 requests at once {note}" in text
    assert stack_document(gemma(4096), CATALOG)["servers"]["gemma"]["memory"]["contextNote"] == ""


def test_the_command_prints_one_document_and_nothing_else() -> None:
    ended = command("--stack", "dev", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["servers"]["gemma"]["memory"]["largestContext"] == 6528


def test_the_command_refuses_what_does_not_fit_and_proposes_what_does(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.big.yaml"
    file.write_text(
        "config:\n  gcp:project: my-project\n"
        "  gke-llm-inference:cluster: {mode: autopilot, location: us-central1}\n"
        "  gke-llm-inference:huggingFace: {tokenSource: existingSecret}\n"
        "  gke-llm-inference:servers: {gemma: {server: vllm, model: google/gemma-7b-it}}\n"
    )
    ended = command("--config-file", str(file), "--json")
    assert ended.returncode == 1
    assert "servers.gemma: does not fit 1 × nvidia-l4" in ended.stderr
    server = json.loads(ended.stdout)["servers"]["gemma"]
    assert server["verdict"] == "does not fit"
    assert {"quantization": "fp8"} in [one["changes"] for one in server["alternatives"]]
    table = command("--config-file", str(file)).stdout
    assert "  verdict    does not fit: " in table
    assert "  instead    " in table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--stack", "nope"], "nope"), (["--stack", "dev", "--server", "gema"], "did you mean gemma?")],
)
def test_the_command_says_what_it_does_not_find(arguments: list[str], words: str) -> None:
    ended = command(*arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert words in ended.stderr


def test_predictions_of_a_measured_case_stand_beside_the_measurement(tmp_path: Path) -> None:
    lines = (
        (REPOSITORY / "gke_llm_inference/catalog/memory/l4-measurements-vllm-0.26.0.jsonl")
        .read_text("utf-8")
        .splitlines()
    )
    cases = tmp_path / "cases.jsonl"
    cases.write_text("\n".join(lines[:3]))
    ended = command("--cases", str(cases), module=("tools.memory_accuracy",))
    assert ended.returncode == 0
    assert "wrong verdicts: 0" in ended.stdout


SPEED = {**QWEN, "maxModelLen": 16384, "replicas": 2, "workload": {"profile": "chat", "requestRate": 0.5}}


def test_a_server_without_a_workload_has_no_speed() -> None:
    plan = plan_of({"l4": {"maxNodes": 2}}, {"qwen": QWEN})
    assert stack_document(plan, CATALOG)["servers"]["qwen"]["performance"] is None
    assert "  speed " not in stack_text(plan, CATALOG)


def test_the_speed_of_a_server_as_text_and_as_json() -> None:
    objectives = {"ttft": {"percentile": 90, "milliseconds": 60_000}, "maxUsdPerMillionTokens": 100}
    plan = plan_of(
        {"l4": {"maxNodes": 2}}, {"qwen": {**SPEED, "measuredTokensPerSecond": 500, "objectives": objectives}}
    )
    document = stack_document(plan, CATALOG)["servers"]["qwen"]["performance"]
    assert list(document) == [
        "workload",
        "objectives",
        "verdict",
        "judgements",
        "perReplica",
        "highest",
        "replicas",
        "price",
        "error",
        "basis",
        "notes",
        "alternatives",
    ]
    found = plan.servers[0].performance
    assert found is not None
    assert document["workload"]["inputTokens"] == {"p50": 1020, "p90": 2734}
    assert document["objectives"] == {
        "ttft": {"percentile": 90, "milliseconds": 60_000},
        "tpot": None,
        "maxUsdPerMillionTokens": 100,
    }
    assert [(one["objective"], one["verdict"]) for one in document["judgements"]] == [
        ("ttft", "meets"),
        ("maxUsdPerMillionTokens", "meets"),
    ]
    assert document["verdict"] == "meets"
    assert document["perReplica"]["requestRate"] == 0.25
    assert document["perReplica"]["ttftMs"]["p99"] == round(found.point.ttft_ms.p99, 2)
    assert document["replicas"] == {"given": 2, "needed": found.needed, "headroom": 0.8}
    assert document["error"]["tpot"] == {
        "percent": round(found.tpot.percent, 1),
        "percentAtP90": round(found.tpot.at(90).percent, 1),
        "percentAtP99": round(found.tpot.at(99).percent, 1),
        "basis": "transferred",
    }
    assert document["price"]["usdPerMillionOutputTokens"] == pytest.approx(
        0.8536 / (found.output_tokens_per_second * 3600) * 1e6, abs=1e-3
    )
    text = stack_text(plan, CATALOG)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "  workload   chat: 1,020 (p90 2,734) tokens in, 129 (p90 424) tokens out, 0.5\n" in text
    assert "  speed      at 0.25 requests a second per replica:\n    TTFT     p50 " in text
    assert "tokens     0.47 USD a million, at the measured 500 a second" in text
    assert f"    price    {document['price']['usdPerMillionOutputTokens']:.2f} USD per million output tokens" in text
    assert "  objectives meets: TTFT p90 is " in text
    (remark,) = [one for one in plan.servers[0].remarks if one.startswith("speed: ")]
    assert remark.startswith("speed: meets the objectives, TTFT p90 ")
    assert remark.endswith(f"replicas 2, {found.needed} needed, at 0.25 requests a second per replica (transferred)")


def test_a_queue_that_grows_has_no_time_to_the_first_token() -> None:
    plan = plan_of({"l4": {"maxNodes": 2}}, {"qwen": {**SPEED, "workload": {"profile": "chat", "requestRate": 9}}})
    document = stack_document(plan, CATALOG)["servers"]["qwen"]["performance"]
    assert (document["perReplica"]["keepsUp"], document["perReplica"]["ttftMs"]) == (False, None)
    assert "    TTFT     grows without end: more comes in than is served\n" in stack_text(plan, CATALOG)
    (remark,) = [one for one in plan.servers[0].remarks if one.startswith("speed: ")]
    assert remark.startswith("speed: the queue grows, TPOT p95 ")


def test_a_stack_that_is_too_slow_is_shown_with_what_would_do() -> None:
    raw = {
        "cluster": {"mode": "standard", "location": "us-central1"},
        "nodePools": {"l4": {"maxNodes": 2}},
        "servers": {"qwen": {**SPEED, "objectives": {"tpot": {"milliseconds": 20}}}},
    }
    plan, refusal = plan_unfit(parse_settings(raw), StackIdentity("llm", "test", "my-project"), CATALOG)
    assert refusal is not None
    assert [problem.path for problem in refusal.problems] == ["servers.qwen.objectives.tpot"]
    document = stack_document(plan, CATALOG)["servers"]["qwen"]["performance"]
    assert document["verdict"] == "misses"
    assert document["alternatives"]
    assert {one["verdict"] for one in document["alternatives"]} <= {"meets", "may meet"}
    first = document["alternatives"][0]
    text = stack_text(plan, CATALOG)
    assert f"  faster     {first['what'].split(',')[0][:40]}" in text
    assert f"{first['usdPerHour']:,.2f}" in text


def test_the_models_of_a_gpu_are_told_within_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = models_text(list(model_rows("nvidia-h100-80gb", 1, CATALOG)))
    assert max(map(len, text.splitlines())) <= 80
    assert "\nopenai/gpt-oss-20b: MoE, 20.9B, 4.2B active; apache-2.0; vLLM 0.10.1\n  its own mxfp4 " in text
    assert "\nmeta-llama/Llama-3.1-8B-Instruct: dense, 8.0B; llama3.1, gated; awq," in text
    assert "\nBAAI/bge-m3: embeds, 0.6B; mit; vLLM 0.6.6\n  own precision                    8,192         - " in text
    assert text.endswith(" combinations do not fit.\n")


def test_what_was_not_measured_is_estimated_in_the_list_of_models() -> None:
    verdicts: dict[str, set[str]] = {}
    rows = list(model_rows("nvidia-h100-80gb", 8, CATALOG))
    for row in rows:
        verdicts.setdefault(row.kind, set()).add(row.verdict)
    assert verdicts["MoE"] | verdicts["MoE, sees"] | verdicts["dense, sees"] <= {"estimated", "does not fit"}
    assert {row.verdict for row in rows if CATALOG.models[row.model].encoder_only} == {"estimated"}
    assert {row.verdict for row in rows if "3-Embedding" in row.model} == {"fits"}
    assert "estimated" not in verdicts["dense"]
