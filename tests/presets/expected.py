"""What every preset gives on every server and version of the catalog, from the servers' own sources and launcher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.presets.support import TGI, TGI_VERSIONS, VLLM, VLLM_VERSIONS

if TYPE_CHECKING:
    from gke_llm_inference.catalog import ServerKind

Key = tuple[str, "ServerKind", str]


@dataclass(frozen=True)
class Gives:
    """The preset works, with exactly these arguments beyond those of a server without it."""

    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Refuses:
    """The preset is refused: a part of the reason, and parts of what to do instead."""

    why: str
    instead: tuple[str, ...]


Row = dict[tuple["ServerKind", str], Gives | Refuses]

OLD_TGI, NEW_TGI = TGI_VERSIONS


def vllm(what: Gives | Refuses, *versions: str) -> Row:
    return {(VLLM, version): what for version in versions or VLLM_VERSIONS}


def tgi(what: Gives | Refuses, *versions: str) -> Row:
    return {(TGI, version): what for version in versions or TGI_VERSIONS}


def gives(*arguments: str) -> Gives:
    return Gives(arguments)


NOTHING = gives()
NO_EETQ = Refuses("no EETQ", ("fp8 preset",))
NO_FP4 = Refuses("never to FP4", ("bitsandbytes-nf4 preset", "fp8 preset"))
NO_BITSANDBYTES = Refuses("plugin vllm-bnb-plugin", ("fp8 preset", "vLLM 0.26.0"))
NO_SQUEEZELLM = Refuses("0.6.0 was the last version with SqueezeLLM", ("awq", "gptq"))
NEVER_SQUEEZELLM = Refuses("never had SqueezeLLM", ("awq", "gptq"))
NO_TGI_KV_CACHE = Refuses("from 2.4.0 on", ("TGI 3.3.7", "vLLM"))
NO_TGI_COMPRESSED = Refuses("from 2.4.0 on", ("TGI 3.3.7", "gptq", "awq"))
NO_TGI_CHUNKS = Refuses("from 3.0 on", ("TGI 3.3.7", "vLLM"))
NO_TGI_PREFIXES = Refuses("from TGI 3.0", ("TGI 3.3.7", "vLLM"))
NO_NGRAM = Refuses("flags that were removed", ("vLLM 0.10.0",))

NGRAM = '--speculative-config={"method":"ngram","num_speculative_tokens":3,"prompt_lookup_max":4}'
ANSWERS = '--override-generation-config={"max_new_tokens":1024}'
FP8, E4M3 = "--quantization=fp8", "--kv-cache-dtype=fp8_e4m3"
SMALL_BATCH, LARGE_STEP, CONTEXT = "--max-num-seqs=32", "--max-num-batched-tokens=4096", "--max-model-len=4096"
CHUNKS, PREFIXES = "--enable-chunked-prefill", "--enable-prefix-caching"
TGI_CONTEXT = ("--max-input-tokens=4095", "--max-total-tokens=4096")

_ROWS: dict[str, Row] = {
    # Pre-quantized checkpoints: vLLM reads the method from the checkpoint, where a flag would force a slow kernel.
    "awq": {**vllm(NOTHING), **tgi(gives("--quantize=awq"))},
    "gptq": {**vllm(NOTHING), **tgi(gives("--quantize=gptq"))},
    "compressed-tensors": {
        **vllm(NOTHING),
        **tgi(NO_TGI_COMPRESSED, OLD_TGI),
        **tgi(gives("--quantize=compressed-tensors"), NEW_TGI),
    },
    "squeezellm": {
        **vllm(gives("--quantization=squeezellm"), "0.6.0"),
        **vllm(NO_SQUEEZELLM, *VLLM_VERSIONS[1:]),
        **tgi(NEVER_SQUEEZELLM),
    },
    # Quantized while loading.
    "eetq": {**vllm(NO_EETQ), **tgi(gives("--quantize=eetq"))},
    "bitsandbytes": {
        **vllm(gives("--quantization=bitsandbytes", "--load-format=bitsandbytes"), "0.6.0"),
        **vllm(gives("--quantization=bitsandbytes"), "0.10.0", "0.19.1", "0.26.0"),
        **vllm(NO_BITSANDBYTES, "0.33.0"),
        **tgi(gives("--quantize=bitsandbytes")),
    },
    "bitsandbytes-nf4": {
        **vllm(gives("--quantization=bitsandbytes", "--load-format=bitsandbytes"), "0.6.0"),
        **vllm(gives("--quantization=bitsandbytes"), "0.10.0", "0.19.1", "0.26.0"),
        **vllm(NO_BITSANDBYTES, "0.33.0"),
        **tgi(gives("--quantize=bitsandbytes-nf4")),
    },
    "bitsandbytes-fp4": {**vllm(NO_FP4), **tgi(gives("--quantize=bitsandbytes-fp4"))},
    "fp8": {**vllm(gives(FP8)), **tgi(gives("--quantize=fp8"))},
    # The KV cache; TGI names E4M3 as torch does.
    "fp8-kv-cache-e4m3": {
        **vllm(gives(E4M3)),
        **tgi(NO_TGI_KV_CACHE, OLD_TGI),
        **tgi(gives("--kv-cache-dtype=fp8_e4m3fn"), NEW_TGI),
    },
    "fp8-kv-cache-e5m2": {
        **vllm(gives("--kv-cache-dtype=fp8_e5m2")),
        **tgi(NO_TGI_KV_CACHE, OLD_TGI),
        **tgi(gives("--kv-cache-dtype=fp8_e5m2"), NEW_TGI),
    },
    # GPUs, attention, batching and limits.
    "tensor-parallel": {**vllm(gives("--tensor-parallel-size=2")), **tgi(gives("--num-shard=2"))},
    "paged-attention": {**vllm(NOTHING), **tgi(NOTHING)},
    "flash-attention": {**vllm(NOTHING), **tgi(NOTHING)},
    "prefix-caching": {**vllm(gives(PREFIXES)), **tgi(NO_TGI_PREFIXES, OLD_TGI), **tgi(NOTHING, NEW_TGI)},
    "chunked-prefill": {**vllm(gives(CHUNKS)), **tgi(NO_TGI_CHUNKS, OLD_TGI), **tgi(NOTHING, NEW_TGI)},
    "ngram-speculation": {
        **vllm(NO_NGRAM, "0.6.0"),
        **vllm(gives(NGRAM), *VLLM_VERSIONS[1:]),
        **tgi(gives("--speculate=3")),
    },
    "token-limits": {
        # Generation defaults on the command line came after 0.6.0.
        **vllm(gives(CONTEXT), "0.6.0"),
        **vllm(gives(CONTEXT, ANSWERS), *VLLM_VERSIONS[1:]),
        **tgi(gives("--max-input-tokens=3072", "--max-total-tokens=4096")),
    },
}

EXPECTED: dict[Key, Gives | Refuses] = {
    (preset, server, version): what for preset, row in _ROWS.items() for (server, version), what in row.items()
}
"""By preset, server and version."""
