"""What AIConfigurator predicts for the measured cases, for comparison.

`python -m tools.run_aiconfigurator > FILE`, in an environment that has aiconfigurator 0.12.0 besides this package, and
nothing of which is installed with it. A line per case that it has data for: decode steps by its static mode, closed
loops by its aggregated one. The page on speed shows the errors beside those of this project.
"""

import importlib
import json
import logging
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gke_llm_inference.catalog.performance_facts import measurements_path
from tools.memory_accuracy import case_request, read_cases

_SYSTEMS = {"nvidia-h100-80gb": "h100_sxm", "nvidia-h200-141gb": "h200_sxm"}
_QUANTIZATION = {"bf16": "bfloat16", "fp8": "fp8"}
_CLASSES = {"llama": "LlamaForCausalLM", "mistral": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}


def config_of(case: Mapping[str, Any]) -> dict[str, Any]:
    """A case's model as the keys of a config.json."""
    request = case_request({"emulated_total_mib": 81009, **case})
    given = request.architecture
    return {
        "architectures": [_CLASSES[request.family]],
        "model_type": "llama" if request.family == "mistral" else request.family,
        "num_hidden_layers": given.layers,
        "hidden_size": given.hidden_size,
        "intermediate_size": given.intermediate_size,
        "num_attention_heads": given.attention_heads,
        "num_key_value_heads": given.kv_heads,
        "head_dim": given.head_dim,
        "vocab_size": given.vocab_size,
        "max_position_embeddings": given.max_positions,
        "tie_word_embeddings": given.tied_embeddings,
        "torch_dtype": "bfloat16",
    }


def main() -> int:
    """Print a JSON object a line."""
    logging.disable(logging.CRITICAL)
    estimate = importlib.import_module("aiconfigurator.cli.api").cli_estimate
    missing: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as directory:
        for line, case in read_cases(measurements_path().read_text("utf-8")).items():
            try:
                folder = Path(directory) / str(case["model"])
                folder.mkdir(exist_ok=True)
                (folder / "config.json").write_text(json.dumps(config_of(case)))
                print(json.dumps({"line": line, "errors": _errors(case, estimate, str(folder))}), flush=True)
            except Exception as error:
                what = f"{case['model']} {case['weights_format']}: {type(error).__name__} {str(error)[:80]}"
                missing[what] = missing.get(what, 0) + 1
    for what, count in missing.items():
        print(f"{count} cases without an answer: {what}", file=sys.stderr)
    return 0


def _errors(case: Mapping[str, Any], estimate: Any, model: str) -> dict[str, float]:
    settings = {
        "backend_name": "vllm",
        "gemm_quant_mode": _QUANTIZATION[case["weights_format"]],
        "kvcache_quant_mode": "fp8" if case["kv_cache_dtype"] == "fp8" else "bfloat16",
    }
    system = _SYSTEMS[case["gpu"]]
    if case["kind"] == "decode":
        context = max(1, round(case["context_tokens"]) - 1)
        found = estimate(model, system, mode="static_gen", isl=context, osl=2, batch_size=case["sequences"], **settings)
        return {"step_ms": _error(found.tpot, case["step_ms"])}
    if "concurrency" not in case:
        raise ValueError("an open loop")
    found = estimate(
        model,
        system,
        mode="agg",
        isl=case["input_tokens"],
        osl=case["output_tokens_mean"],
        batch_size=case["concurrency"],
        ctx_tokens=case["max_num_batched_tokens"],
        **settings,
    )
    cycle = float(found.ttft) + float(found.tpot) * (case["output_tokens_mean"] - 1)
    throughput = 1000 * case["concurrency"] * case["output_tokens_mean"] / cycle
    return {
        "tpot_ms.p50": _error(found.tpot, case["tpot_ms"]["p50"]),
        "ttft_ms.p50": _error(found.ttft, case["ttft_ms"]["p50"]),
        "output_tokens_per_second": _error(throughput, case["output_tokens_per_second"]),
    }


def _error(found: Any, truth: float) -> float:
    return round(100 * (float(found) / truth - 1), 3)


if __name__ == "__main__":
    sys.exit(main())
