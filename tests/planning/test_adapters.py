"""Adapters: vLLM's arguments, their memory as measured, the container that downloads them, and what is refused."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog.memory_facts import adapters_path
from gke_llm_inference.planning.adapters import download
from gke_llm_inference.planning.adapters.decide import adapter_parts
from gke_llm_inference.planning.memory import plan_memory
from gke_llm_inference.planning.memory.of_catalog import memory_request_of
from gke_llm_inference.planning.models import served_model
from gke_llm_inference.planning.pod.template import pod_template
from gke_llm_inference.settings import parse_settings
from tests.planning.support import CATALOG, planned, problems_of, standard_stack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.settings.support import Raw

POOLS = {"l4": {"accelerator": {"type": "nvidia-l4", "count": 1}, "maxNodes": 8}}
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
BASE: Raw = {"server": "vllm", "model": LLAMA, "quantization": "fp8", "maxModelLen": 4096}


def commit(number: int) -> str:
    return f"{number:040x}"


def adapter(rank: int = 16, number: int = 1, **keys: Any) -> Raw:
    return {"id": f"acme/lora-{number}", "revision": commit(number), "rank": rank, **keys}


def stack(server: Raw, **keys: Any) -> Raw:
    return {**standard_stack(POOLS, {"s": server}), "huggingFace": {"tokenSource": "existingSecret"}, **keys}


def arguments_of(server: Raw) -> list[str]:
    (plan,) = planned(stack(server)).servers
    return list(plan.added_arguments[plan.added_arguments.index("--enable-lora") :])


def test_vllm_is_told_of_every_adapter_at_the_end_of_its_command_line() -> None:
    assert arguments_of({**BASE, "adapters": {"sql": adapter(16), "faq": adapter(20, 2)}}) == [
        "--enable-lora",
        "--max-loras=2",
        "--max-lora-rank=32",
        "--lora-modules",
        "faq=/home/vllm/adapters/faq",
        "sql=/home/vllm/adapters/sql",
    ]


def test_more_adapters_than_slots_are_kept_in_the_pod_s_memory() -> None:
    ten = {f"a{number}": adapter(16, number) for number in range(10)}
    assert arguments_of({**BASE, "adapters": ten})[:4] == [
        "--enable-lora",
        "--max-loras=4",
        "--max-lora-rank=16",
        "--max-cpu-loras=10",
    ]
    (without,), (few,), (many,) = (
        planned(stack({**BASE, "adapters": dict(list(ten.items())[:count])})).servers for count in (0, 4, 10)
    )
    assert without.resources.memory_gib <= few.resources.memory_gib <= many.resources.memory_gib
    assert without.resources.ephemeral_storage_gib < many.resources.ephemeral_storage_gib


def test_a_container_of_the_server_s_image_downloads_them_at_their_commits_with_the_token_from_its_secret() -> None:
    (plan,) = planned(stack({**BASE, "adapters": {"sql": adapter(16)}})).servers
    spec = pod_template(plan)["spec"]
    (container,) = spec["initContainers"]
    assert (container["name"], container["image"]) == ("adapters", plan.image)
    assert container["command"][:2] == ["python3", "-c"]
    assert container["args"] == ["/home/vllm/adapters", f"sql=acme/lora-1@{commit(1)}:16"]
    assert container["volumeMounts"] == [{"name": "cache", "mountPath": "/home/vllm"}]
    token = {one["name"]: one["valueFrom"] for one in container["env"] if "valueFrom" in one}
    assert token["HF_TOKEN"] == {"secretKeyRef": {"name": plan.secret_name, "key": plan.secret_key}}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize(
    "row", [json.loads(line) for line in adapters_path().read_text("utf-8").splitlines()], ids=lambda row: row["id"]
)
def test_buffers_are_as_measured(row: dict[str, Any]) -> None:
    adapters = {f"a{number}": adapter(row["max_lora_rank"], number) for number in range(row["max_loras"])}
    raw = stack({"server": "vllm", "model": row["model"], "maxLoras": row["max_loras"], "adapters": adapters})
    settings = parse_settings(raw).servers["s"]
    model, _ = served_model("s", settings, CATALOG)
    assert model is not None
    if row["layers"]:
        cut = model.architecture.model_copy(update={"layers": row["layers"]})
        model = replace(model, architecture=cut)
    (part,) = adapter_parts("s", settings, model, CATALOG)
    request = replace(
        memory_request_of(CATALOG.models[row["model"]], row["weights_format"], "nvidia-l4", 1, CATALOG),
        architecture=model.architecture,
        max_model_len=4096,
        unplanned=(replace(part, at_most=part.at_least),),
    )
    others = plan_memory(replace(request, unplanned=()), CATALOG.memory).band_mib
    low, _ = plan_memory(request, CATALOG.memory).band_mib
    buffers = low - others[0]
    assert buffers <= row["buffers_mib"] <= 1.03 * buffers
    if "graphs_gib" in row:
        most = part.at_most
        assert (row["graphs_gib"] - row["graphs_without_gib"]) * 1024 <= most.mib
        taken = row["available_kv_without_mib"] - row["available_kv_mib"]
        assert buffers <= taken <= most.lora * buffers + most.activation * row["peak_activation_without_mib"]


@given(
    ranks=st.lists(st.integers(1, 512), min_size=1, max_size=6),
    more=st.integers(1, 512),
    slots=st.integers(1, 6),
)
def test_more_adapters_slots_or_a_larger_rank_never_need_less(ranks: list[int], more: int, slots: int) -> None:
    def need(ranks: list[int], slots: int) -> tuple[float, float]:
        adapters = {f"a{number}": adapter(rank, number) for number, rank in enumerate(ranks)}
        raw = stack({**BASE, "adapters": adapters, "maxLoras": min(slots, len(ranks))})
        settings = parse_settings(raw).servers["s"]
        model, _ = served_model("s", settings, CATALOG)
        assert model is not None
        (part,) = adapter_parts("s", settings, model, CATALOG)
        request = memory_request_of(CATALOG.models[LLAMA], "fp8", "nvidia-l4", 1, CATALOG)
        plan = plan_memory(replace(request, max_model_len=1024, unplanned=(part,)), CATALOG.memory)
        return plan.band_mib[0], part.host_mib

    gpu, host = need(ranks, slots)
    for other in (need([*ranks, more], slots), need(ranks, slots + 1), need([rank + 0 for rank in ranks], slots)):
        assert (gpu <= other[0], host <= other[1]) == (True, True)


@pytest.mark.parametrize(
    ("server", "path", "what", "fix"),
    [
        ({"adapters": {LLAMA.split("/")[1]: adapter()}, "servedModelName": LLAMA.split("/")[1]}, None, "", ""),
        (
            {"adapters": {"sql": adapter(base="google/gemma-7b")}},
            "adapters.sql.base",
            "another model",
            "use an adapter",
        ),
        ({"adapters": {"sql": adapter()}, "maxLoras": 2}, "maxLoras", "2 are more than the 1", "use 1 or less"),
        ({"maxLoras": 2}, "maxLoras", "has no adapters to count", "remove it"),
        (
            {"adapters": {"sql": adapter()}, "version": "0.6.0"},
            "version",
            "is not known to serve adapters",
            "use 0.10.0",
        ),
        (
            {"adapters": {"a": adapter()}, "extraArgs": ["--max-loras=2"]},
            "extraArgs[0]",
            "follows from adapters",
            "remove",
        ),
        (
            {"adapters": {"a": adapter()}, "extraArgs": ["--max_loras", "2"]},
            "extraArgs[0]",
            "follows from adapters",
            "remove",
        ),
        (
            {"adapters": {"a": adapter()}, "extraArgs": ["--no-enable-lora"]},
            "extraArgs[0]",
            "follows from adapters",
            "remove",
        ),
        ({"adapters": {"a": adapter()}, "server": "tgi"}, "adapters", "are not planned for TGI", "use server vllm"),
        (
            {"adapters": {"a": adapter()}, "model": "tiiuae/falcon-40b-instruct"},
            "adapters",
            "are not for tiiuae/falcon-40b-instruct",
            "use another model",
        ),
        (
            {"adapters": {"a": adapter()}, "model": "Qwen/Qwen3-Embedding-4B", "task": "embed", "quantization": None},
            "adapters",
            "whose task is embed",
            "remove them",
        ),
        (
            {"adapters": {"a": adapter()}, "modelVolume": {"claim": "models", "storage": "gcsfuse"}},
            "adapters",
            "are downloaded from Hugging Face",
            "use modelSource",
        ),
        (
            {"adapters": {"a": adapter()}, "model": "Qwen/Qwen3-30B-A3B", "version": "0.19.1", "quantization": None},
            "version",
            "vLLM 0.19.1 is not known to serve adapters of Qwen/Qwen3-30B-A3B",
            "use 0.26.0 or newer",
        ),
    ],
)
def test_what_does_not_go_with_adapters_is_refused(server: Raw, path: str | None, what: str, fix: str) -> None:
    asked = {key: value for key, value in {**BASE, **server}.items() if value is not None}
    found = {problem.path: problem for problem in problems_of(stack(asked))}
    if path is None:
        (problem,) = (one for one in found.values() if one.path.startswith("servers.s.adapters."))
        assert problem.what == "has the name of the server's model"
        return
    problem = found[f"servers.s.{path}"]
    assert what in problem.what
    assert problem.fix.startswith(fix)


def test_a_container_of_one_s_own_may_not_be_called_like_the_one_that_downloads() -> None:
    own = {"name": "adapters", "image": "registry.example.org/tool:1.0", "cpu": 0.1, "memoryGib": 1}
    server = {**BASE, "pod": {"initContainers": [own]}}
    assert planned(stack(server)).servers[0].pod.init_containers[0].name == "adapters"
    problems = problems_of(stack({**server, "adapters": {"sql": adapter()}}))
    assert [(one.path, one.what) for one in problems] == [
        ("servers.s.pod.initContainers[0].name", "adapters is the name of another container of the pod")
    ]


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [("revision", "main", "is not a commit"), ("rank", 513, "512"), ("id", "no id", ""), ("loras", 1, "")],
)
def test_settings_of_an_adapter_are_strict(key: str, value: Any, what: str) -> None:
    found = problems_of(stack({**BASE, "adapters": {"sql": {**adapter(), key: value}}}))
    assert any(problem.path == f"servers.s.adapters.sql.{key}" and what in str(problem) for problem in found)


def test_an_adapter_of_a_checkpoint_s_base_goes_with_it() -> None:
    checkpoint = next(name for name, one in CATALOG.checkpoints.items() if one.base == LLAMA and one.format == "awq")
    server = {"server": "vllm", "model": checkpoint, "maxModelLen": 4096, "adapters": {"sql": adapter(base=LLAMA)}}
    (plan,) = planned(stack(server)).servers
    assert [one.name for one in plan.adapters] == ["sql"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A hub library whose repositories have an adapter of rank 16, but for `acme/empty`; what it was asked."""
    asked: list[tuple[str, str]] = []

    def snapshot_download(repository: str, *, revision: str, local_dir: str, allow_patterns: list[str]) -> None:
        from pathlib import Path

        assert allow_patterns == ["*.json", "*.safetensors"]
        asked.append((repository, revision))
        target = Path(local_dir)
        target.mkdir(parents=True)
        (target / "adapter_config.json").write_text(json.dumps({"r": 16}))
        if repository != "acme/empty":
            (target / "adapter_model.safetensors").write_bytes(b"")

    module = ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return asked


def test_the_download_takes_each_adapter_at_its_commit(
    hub: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download.main([str(tmp_path), f"sql=acme/a@{commit(1)}:16", f"faq=acme/b@{commit(2)}:16"])
    assert hub == [("acme/a", commit(1)), ("acme/b", commit(2))]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["faq", "sql"]
    assert capsys.readouterr().out.splitlines()[1] == f"2 of 2: faq: acme/b at {commit(2)}"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (f"sql=acme/a@{commit(1)}:32", "sql: acme/a has the rank 16, and 32 was planned; correct it in the stack file"),
        (f"sql=acme/empty@{commit(1)}:16", f"sql: acme/empty has no safetensors at {commit(1)}"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_the_download_ends_where_an_adapter_is_not_as_planned(asked: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        download.main([str(tmp_path), asked])
    assert ended.value.code == message
