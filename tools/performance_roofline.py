"""Plain roofline: what predictions of speed are without what was measured of kernels, host and pipeline."""

from gke_llm_inference.catalog.performance_facts import PerformanceFacts

_SMALL = 1e-6
_LARGE = 1e9


def roofline(facts: PerformanceFacts) -> PerformanceFacts:
    """Facts in which every kernel is at its roof, and nothing but products and attention takes time."""
    kernels = {
        name: kernel.model_copy(
            update={
                "bandwidth": 1.0,
                "compute": 1.0,
                "few_rows": 1.0,
                "large_compute": 1.0,
                "sharpness": 50.0,
                "extra_us": 0.0,
                "activation_bytes": 0.0,
                "multiprocessor_gb_per_s": None,
                "burst": False,
            }
        )
        for name, kernel in facts.kernels.items()
    }
    attention = facts.attention.model_copy(
        update={
            "bandwidth": 1.0,
            "block_gb_per_s": _LARGE,
            "block_us": 0.0,
            "tail": 0.0,
            "mixed_gb_per_s": _LARGE,
            "prefill": dict.fromkeys(facts.attention.prefill, 1.0),
            "fp8_bandwidth": 1.0,
            "fp8_layer_us": 0.0,
        }
    )
    overhead = facts.overhead.model_copy(
        update={"kernel_us": 0.0, "elementwise": 0.0, "row_us": 0.0, "row_vocabulary_bytes": 0.0}
    )
    host = facts.host.model_copy(
        update={
            "prefill_ms": _SMALL,
            "layer_ms": 0.0,
            "graph_layer_ms": 0.0,
            "decode_ms": _SMALL,
            "sequence_ms": 0.0,
            "mixed_sequence_ms": 0.0,
            "joined_ms": 0.0,
            "request_ms": 0.0,
            "token_us": 0.0,
        }
    )
    pipeline = facts.pipeline.model_copy(
        update={"start_ms": 0.0, "start_sequence_ms": 0.0, "end_ms": 0.0, "output_ms": 0.0}
    )
    return facts.model_copy(
        update={
            "kernels": kernels,
            "attention": attention,
            "overhead": overhead,
            "host": host,
            "pipeline": pipeline,
        }
    )
