"""How long one step of a server takes: on the GPU by its roofs, and on the host that launches it."""

import math
from bisect import bisect_left

from gke_llm_inference.catalog.performance_facts import (
    BurstConstants,
    GpuRoofs,
    KernelClass,
    KernelConstants,
    PerformanceFacts,
    PipelineConstants,
)
from gke_llm_inference.planning.memory.request import Kernels
from gke_llm_inference.planning.performance.shapes import Linear, ModelShapes
from gke_llm_inference.planning.versions import version_parts

# Row counts for which vLLM captures CUDA graphs; a step is padded to the next.
GRAPH_SIZES = (1, 2, 4, *range(8, 257, 8), *range(272, 513, 16))
# FlashAttention splits contexts while its blocks fill less than this many times the multiprocessors.
_SPLIT_BELOW = 1.6
# Heads up to this width leave a multiprocessor room for two of FlashAttention's blocks.
_NARROW_HEAD = 128
_TERA_PER_MS = 1e9
_GB_PER_MS = 1e6
_BF16_BYTES = 2
_CLASSES: dict[Kernels, KernelClass] = {
    "dense": "bf16",
    "fp8": "fp8",
    "int8": "int8",
    "marlin": "marlin",
    "bitsandbytes": "bitsandbytes",
}


def block_kernel_class(gpu: GpuRoofs, version: str) -> KernelClass:
    """Which kernels of a version of vLLM multiply with FP8 weights that share scales in blocks."""
    taken = [first for first in gpu.fp8_block_kernels if version_parts(first) <= version_parts(version)]
    return gpu.fp8_block_kernels[max(taken, key=version_parts)] if taken else gpu.fp8_kernels


def kernel_class(kernels: Kernels, gpu: GpuRoofs) -> KernelClass:
    """Which kernels multiply with weights of a format on a GPU."""
    return gpu.fp8_kernels if kernels == "fp8" else _CLASSES[kernels]


class Heat:
    """How near a GPU is to its power limit, from what it just did."""

    def __init__(self, burst: BurstConstants | None, heat: float = 0.0) -> None:
        self._burst = burst
        self._heat = heat

    def step_ms(self, sustained: float, prefill: int) -> float:
        """Time of a step that takes `sustained` on a hot GPU, after which the GPU is hotter or cooler."""
        burst = self._burst
        if burst is None:
            return sustained
        cool = math.exp(-sustained / burst.time_ms)
        if prefill < burst.rows:
            self._heat *= cool
            return sustained
        mean = 1 - (1 - self._heat) * math.sqrt(cool)
        self._heat = 1 - (1 - self._heat) * cool
        return sustained * (1 - burst.share * (1 - mean))


class StepTimer:
    """Times of the steps of one server.

    GPU: sum over linear layers of (memory^q + compute^q)^(1/q), with memory = (weights + activations) / bandwidth and
    compute = 2 × rows × weights / roof; the output layer on the sampled rows; attention; elementwise kernels; a fixed
    time per kernel. What depends on the number of rows alone is computed once.
    """

    def __init__(
        self,
        shapes: ModelShapes,
        kernels: Kernels,
        gpu: GpuRoofs,
        facts: PerformanceFacts,
        *,
        launch_us: float | None = None,
        eager: bool = False,
        old_engine: bool = False,
        speculative_tokens: int = 0,
        linear: KernelClass | None = None,
    ) -> None:
        self._shapes = shapes
        self._facts = facts
        self._gpu = gpu
        self._kernel = facts.kernels[linear or kernel_class(kernels, gpu)]
        self._verified = 1 + speculative_tokens
        self._dense = facts.kernels["bf16"]
        self._bandwidth = gpu.bandwidth_gb_per_s * _GB_PER_MS
        self._roof = gpu.bf16_tflops * _TERA_PER_MS
        self._eager = eager
        self._old = facts.old_engine if old_engine else None
        relative = launch_us / facts.host.launch_us if launch_us else 1.0
        self._host_scale = 1 + facts.host.launch_share * (relative - 1)
        self._rows: dict[int, float] = {}
        self._sampled: dict[int, float] = {}
        overhead, attention = facts.overhead, facts.attention
        small = overhead.kernels + overhead.family_kernels.get(shapes.family, 0)
        layer_us = overhead.kernel_us * (len(shapes.linears) + small) + self._kernel.extra_us * len(shapes.linears)
        self._kernel_ms = overhead.kernel_us / 1000
        self._fp8_cache = shapes.kv_element_bytes == 1
        if self._fp8_cache:
            layer_us += attention.fp8_layer_us
        self._fixed = layer_us * shapes.layers / 1000
        self._small = small
        self._kv_bandwidth = self._bandwidth * (attention.fp8_bandwidth if self._fp8_cache else attention.bandwidth)
        read = attention.multiprocessor_gb_per_s * _GB_PER_MS * gpu.multiprocessors
        self._kv_bandwidth = min(self._kv_bandwidth, read)
        self._block = attention.block_gb_per_s * _GB_PER_MS
        self._windowed = attention.windowed_gb_per_s * _GB_PER_MS * gpu.multiprocessors
        if shapes.family in attention.capped_families:
            self._block *= attention.capped
            self._windowed *= attention.capped
            self._kv_bandwidth *= attention.capped
        widths = attention.prefill
        nearest = min(widths, key=lambda width: abs(math.log(width / shapes.head_dim)))
        self._attended = 4 * shapes.query_heads * shapes.head_dim / (self._roof * widths[nearest])
        self._group = shapes.query_heads / shapes.kv_heads
        self._full = shapes.layers - shapes.windowed

    @property
    def pipeline(self) -> PipelineConstants:
        """How the scheduler runs ahead of the GPU."""
        return self._facts.pipeline

    @property
    def ahead(self) -> bool:
        """Whether the scheduler runs ahead of the GPU; it does not where it drafts tokens from the last ones."""
        return self._verified == 1

    @property
    def host_jitter(self) -> float:
        """How unequal the host's times for steps that prefill are: standard deviation of their logarithm."""
        return self._facts.host.jitter

    @property
    def bursts(self) -> BurstConstants | None:
        """How much faster the GPU is for a moment; None where the kernels do not reach its power limit."""
        return self._facts.burst if self._kernel.burst else None

    @property
    def window(self) -> int:
        """Tokens that layers with a window attend to; 0 where there are none."""
        return self._shapes.window if self._shapes.windowed else 0

    def gpu_ms(
        self, decoding: int, context: float, prefill: int, attended: float, prefilling: int, windowed: float = 0.0
    ) -> float:
        """Time of a step on the GPU.

        Args:
            decoding: sequences that produce a token.
            context: tokens in their contexts, over all of them.
            prefill: prompt tokens of the step.
            attended: positions that those attend to, over all of them.
            prefilling: requests that they belong to.
            windowed: positions that they attend to in layers with a window.

        """
        verified = decoding * self._verified
        rows = verified + prefill
        linear = self._rows.get(rows)
        if linear is None:
            linear = self._rows[rows] = self._row_ms(rows)
        sampled = verified + prefilling
        head = self._sampled.get(sampled)
        if head is None:
            head = self._sampled[sampled] = self._head_ms(sampled)
        time = linear + head + self._fixed
        if decoding:
            time += self._full * self._decode_ms(decoding, context, prefill > 0, windowed=False)
            if self._shapes.windowed:
                kept = min(context, decoding * float(self._shapes.window))
                time += self._shapes.windowed * self._decode_ms(decoding, kept, prefill > 0, windowed=True)
        if self._old:
            time += self._old.step_ms + self._old.sequence_ms * sampled
        if not self.ahead and decoding:
            time += self._facts.speculation.sequence_ms * decoding
        if prefill:
            positions = self._full * attended + self._shapes.windowed * windowed
            time += self._attended * positions
        return time

    def decode_ms(self, decoding: int, context: float) -> float:
        """Time from one step that only decodes to the next, in steady state."""
        gpu, host = self.gpu_ms(decoding, context, 0, 0, 0), self.host_ms(decoding, 0)
        if self.ahead:
            return max(gpu, host)
        pipeline = self.pipeline
        return max(self.start_ms(decoding, host) + gpu, host + pipeline.end_ms) + pipeline.output_ms

    def start_ms(self, decoding: int, host: float) -> float:
        """Time from the call of the scheduler until the GPU can begin: a part of the host's time for the step."""
        pipeline = self.pipeline
        return min(host, (pipeline.start_ms + pipeline.start_sequence_ms * decoding) * self._host_scale)

    def request_ms(self, prompt: int) -> float:
        """Time of the host to take in a request, between two steps."""
        host = self._facts.host
        return (host.request_ms + host.token_us * prompt / 1000) * self._host_scale

    def host_ms(self, decoding: int, prefill: int, joined: bool = False) -> float:
        """Time of the host for a step, until it can schedule the next; `joined` after a step that prefilled."""
        host, sequences = self._facts.host, self._facts.host.sequence_ms * decoding
        if prefill == 0 and not self._eager and (self.ahead or decoding * self._verified <= host.graph_rows):
            return (host.decode_ms + sequences + (host.joined_ms if joined else 0.0)) * self._host_scale
        graphs = decoding * self._verified + prefill <= host.graph_rows and not self._eager
        kernels = len(self._shapes.linears) + self._small
        usual = len(self._shapes.linears) + self._facts.overhead.kernels
        layer = (host.graph_layer_ms if graphs else host.layer_ms) * self._kernel.host * kernels / usual
        if self._fp8_cache:
            layer *= self._facts.attention.fp8_host
        sequences += host.mixed_sequence_ms * decoding
        return (host.prefill_ms + sequences + layer * self._shapes.layers) * self._host_scale

    def _row_ms(self, rows: int) -> float:
        """Linear layers, elementwise kernels and all-reduces of all layers, for that many rows."""
        shapes, overhead = self._shapes, self._facts.overhead
        if rows <= GRAPH_SIZES[-1] and not self._eager:
            rows = GRAPH_SIZES[bisect_left(GRAPH_SIZES, rows)]
        layer = sum(self._product_ms(linear, rows, self._kernel, shapes.weight_bytes) for linear in shapes.linears)
        heads = (shapes.query_heads + 2 * shapes.kv_heads) * shapes.head_dim
        moved = rows * _BF16_BYTES * (8 * shapes.hidden + 3 * shapes.feed_forward + 2 * heads)
        layer += overhead.elementwise * moved / self._bandwidth
        if shapes.gpus > 1 and self._gpu.all_reduce:
            reduce = self._gpu.all_reduce
            summed = rows * shapes.hidden * _BF16_BYTES
            layer += 2 * (reduce.latency_us / 1000 + summed / (reduce.gb_per_s * _GB_PER_MS))
        return layer * shapes.layers

    def _head_ms(self, sampled: int) -> float:
        """Output layer and sampling."""
        shapes, overhead = self._shapes, self._facts.overhead
        head = Linear(inputs=shapes.hidden, outputs=shapes.vocabulary)
        time = self._product_ms(head, sampled, self._dense, shapes.head_bytes)
        moved = overhead.row_vocabulary_bytes * sampled * shapes.vocabulary * shapes.gpus
        return time + moved / self._bandwidth + overhead.row_us * sampled / 1000

    def _product_ms(self, linear: Linear, rows: int, kernel: KernelConstants, weight_bytes: float) -> float:
        weights = linear.inputs * linear.outputs
        visits = rows * linear.visited
        touched = float(linear.copies)
        if linear.copies > 1:
            touched = linear.copies * (1 - (1 - linear.visited / linear.copies) ** rows)
        read = touched * weights * weight_bytes
        moved = visits * (_BF16_BYTES * (linear.inputs + linear.outputs) + kernel.activation_bytes * linear.inputs)
        memory = (read + moved) / (self._bandwidth * kernel.bandwidth)
        if kernel.row_bandwidth is not None:
            memory = min(memory, rows * read / (self._bandwidth * kernel.row_bandwidth))
        if kernel.multiprocessor_gb_per_s is not None:
            unpacked = read / (kernel.multiprocessor_gb_per_s * self._gpu.multiprocessors * _GB_PER_MS)
            memory = max(memory, unpacked)
        roof = {"bf16": self._gpu.bf16_tflops, "fp8": self._gpu.fp8_tflops, "int8": self._gpu.int8_tflops}[kernel.roof]
        near = max(0.0, 1 - kernel.few_rows / max(rows, 1))
        reached = kernel.compute + (kernel.large_compute - kernel.compute) * near
        compute = 2 * visits * weights / (roof * _TERA_PER_MS * reached)
        power = kernel.sharpness
        large = max(memory, compute)
        return large * math.pow((memory / large) ** power + (compute / large) ** power, 1 / power)

    def _decode_ms(self, decoding: int, context: float, mixed: bool, *, windowed: bool) -> float:
        """Attention of one layer's decoding sequences.

        Thread blocks read one sequence and KV head each. Whole waves of them read at the bandwidth's roof; the last one
        no faster than its blocks. Where sequences are few, contexts are split over blocks, if query heads share KV
        heads and there is no window; a second kernel then adds the parts up.
        """
        facts, shapes, gpu = self._facts.attention, self._shapes, self._gpu
        read = context * shapes.kv_token_bytes
        time = read / self._kv_bandwidth
        if self._fp8_cache:
            return time
        if mixed and self._group > 1:
            # A step that prefills reads keys and values once per query head: once from memory, then from the L2 cache.
            cached = read * self._group / (facts.mixed_gb_per_s * _GB_PER_MS * gpu.multiprocessors)
            return max(time, cached, read / (decoding * shapes.kv_heads * self._block))
        if windowed and self._group > 1 and not mixed:
            time = max(time, read * self._group / self._windowed)
        blocks = decoding * shapes.kv_heads
        if self._group > 1 and not windowed and not mixed and blocks < _SPLIT_BELOW * gpu.multiprocessors:
            return time + self._kernel_ms
        alone = read / blocks / self._block
        wave = gpu.multiprocessors * (1 if shapes.head_dim > _NARROW_HEAD else 2)
        if blocks <= wave:
            time = (time**4 + alone**4) ** 0.25
        else:
            last = blocks % wave
            time += facts.tail * max(0.0, (alone if last else 0.0) - time * last / blocks)
        return time + facts.block_us / 1000 * blocks / gpu.multiprocessors
