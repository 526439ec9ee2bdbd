"""The time of one step: exact where physics leaves no choice, and never against it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.performance.step_time import Heat, StepTimer, block_kernel_class, kernel_class
from gke_llm_inference.planning.performance.timer import step_timer
from tests.performance.support import EXPERTS, FACTS, H100, L4, WINDOW, architecture, request, timer
from tools.performance_roofline import roofline

ROOF = roofline(FACTS)
MODELS = (
    "google/gemma-7b-it",
    "meta-llama/Llama-3.1-8B-Instruct",
    "google/gemma-3-4b-it",
    "tiiuae/falcon-40b-instruct",
)


def test_at_the_roof_one_token_takes_the_time_to_read_weights_and_cache() -> None:
    # Llama 3.1 8B: 6,979,321,856 weights in linear layers, 525,336,576 in the output layer, 131,072 bytes a token.
    weights = 2 * (32 * (4096 * 6144 + 4096 * 4096 + 3 * 4096 * 14336) + 128256 * 4096)
    moved = 2 * (32 * (4096 + 6144 + 4096 + 4096 + 4096 + 28672 + 14336 + 4096) + 4096 + 128256)
    expected = (weights + moved + 1000 * 131072) / 2975e6
    assert timer(facts=ROOF).gpu_ms(1, 1000, 0, 0, 0) == pytest.approx(expected, rel=1e-4)


def test_at_the_roof_a_long_prompt_takes_the_time_to_multiply() -> None:
    linear = 2 * 8192 * 32 * (4096 * 6144 + 4096 * 4096 + 3 * 4096 * 14336) / 789e9
    attention = 4 * 32 * 32 * 128 * (8192 * 8193 / 2) / 789e9
    head = 2 * 128256 * 4096 / 2975e6
    found = timer(facts=ROOF).gpu_ms(0, 0, 8192, 8192 * 8193 // 2, 1)
    assert found == pytest.approx(linear + attention + head, rel=2e-3)


def test_a_step_is_padded_to_the_next_graph() -> None:
    times = [timer().gpu_ms(n, 0, 0, 0, 0) - timer()._head_ms(n) for n in (9, 12, 16)]
    assert times[0] == pytest.approx(times[2], rel=1e-3)
    assert times[0] == pytest.approx(times[1], rel=1e-3)


def test_four_bit_weights_are_fastest_for_one_sequence_and_slowest_for_many() -> None:
    one = {name: timer(weights_format=name).gpu_ms(1, 150, 0, 0, 0) for name in ("bf16", "fp8", "awq")}
    many = {name: timer(weights_format=name).gpu_ms(256, 256 * 150, 0, 0, 0) for name in ("bf16", "fp8", "awq")}
    assert one["awq"] < one["fp8"] < one["bf16"]
    assert many["fp8"] < many["bf16"] < many["awq"]


def test_an_l4_multiplies_fp8_weights_with_its_own_units() -> None:
    l4 = timer(gpu=L4, weights_format="fp8").gpu_ms(0, 0, 2048, 0, 1)
    compute = 2 * 2048 * 32 * (4096 * 6144 + 4096 * 4096 + 3 * 4096 * 14336) / (L4.bf16_tflops * 1e9)
    assert l4 < compute / FACTS.kernels["marlin"].large_compute
    a100 = FACTS.gpus["nvidia-a100-80gb"]
    assert kernel_class("fp8", a100) == "marlin"


@pytest.mark.parametrize(
    ("version", "kernels"), [("0.26.0", "triton"), ("0.28.1", "triton"), ("0.29.0", "marlin"), ("0.33.0", "marlin")]
)
def test_kernels_of_weights_in_blocks_are_those_of_the_version(version: str, kernels: str) -> None:
    assert block_kernel_class(L4, version) == kernels
    assert block_kernel_class(H100, version) == "fp8"


def test_the_host_launches_layers_of_quantized_weights_in_their_own_time() -> None:
    prefill = {name: timer(weights_format=name).host_ms(0, 2048) for name in ("bf16", "fp8", "bitsandbytes")}
    share = FACTS.kernels["fp8"].host
    rest = FACTS.host.prefill_ms
    assert prefill["fp8"] - rest == pytest.approx(share * (prefill["bf16"] - rest))
    assert prefill["fp8"] < prefill["bf16"] < prefill["bitsandbytes"]
    decode = {name: timer(weights_format=name).host_ms(8, 0) for name in ("bf16", "fp8")}
    assert decode["fp8"] == decode["bf16"]


def test_a_kernel_for_few_rows_reads_the_weights_for_each() -> None:
    times = {n: timer(weights_format="bitsandbytes").gpu_ms(n, 0, 0, 0, 0) for n in (1, 2, 4, 8, 16)}
    read = 32 * (4096 * 6144 + 4096 * 4096 + 3 * 4096 * 14336) * 4.5 / 8
    each = read / (H100.bandwidth_gb_per_s * 1e6 * (FACTS.kernels["bitsandbytes"].row_bandwidth or 1))
    assert times[2] - times[1] == pytest.approx(each, rel=0.05)
    assert times[4] - times[2] == pytest.approx(2 * each, rel=0.05)
    assert times[16] - times[8] < 0.2 * each


def test_scores_with_a_cap_are_read_more_slowly() -> None:
    uncapped = FACTS.model_copy(update={"attention": FACTS.attention.model_copy(update={"capped": 1.0})})
    gemma = [timer("google/gemma-2-9b-it", facts=facts).gpu_ms(32, 32 * 1000, 0, 0, 0) for facts in (FACTS, uncapped)]
    llama = [timer(facts=facts).gpu_ms(32, 32 * 1000, 0, 0, 0) for facts in (FACTS, uncapped)]
    assert gemma[0] > gemma[1]
    assert llama[0] == llama[1]


def guessing(guesses: int) -> StepTimer:
    return step_timer(request(), H100, load_catalog().memory, FACTS, speculative_tokens=guesses)


def test_guesses_are_rows_that_are_verified() -> None:
    guess = FACTS.speculation.sequence_ms
    four, plain = guessing(4), guessing(0)
    assert four.gpu_ms(8, 1000, 0, 0, 0) == pytest.approx(
        plain.gpu_ms(40, 1000, 0, 0, 0)
        + 8 * guess
        - 32 * (plain._decode_ms(40, 1000, False, windowed=False) - plain._decode_ms(8, 1000, False, windowed=False))
    )
    assert plain.ahead
    assert not four.ahead


def test_nothing_runs_ahead_of_guesses() -> None:
    four, plain, pipeline = guessing(4), guessing(0), FACTS.pipeline
    assert plain.decode_ms(8, 1000) == max(plain.gpu_ms(8, 1000, 0, 0, 0), plain.host_ms(8, 0))
    start = pipeline.start_ms + 8 * pipeline.start_sequence_ms
    expected = start + four.gpu_ms(8, 1000, 0, 0, 0) + pipeline.output_ms
    assert four.decode_ms(8, 1000) == pytest.approx(expected)


def test_guesses_that_outgrow_the_graphs_are_launched_one_by_one() -> None:
    assert guessing(4).host_ms(103, 0) > 3 * guessing(4).host_ms(102, 0)


def test_a_window_bounds_what_a_layer_reads() -> None:
    full = timer(architecture()).gpu_ms(64, 64 * 4000, 0, 0, 0)
    windowed = timer(architecture(sliding_window=WINDOW)).gpu_ms(64, 64 * 4000, 0, 0, 0)
    longer = timer(architecture(sliding_window=WINDOW)).gpu_ms(64, 64 * 8000, 0, 0, 0)
    assert windowed < full
    assert longer - windowed == pytest.approx(
        timer(architecture(layers=1)).gpu_ms(64, 64 * 8000, 0, 0, 0)
        - timer(architecture(layers=1)).gpu_ms(64, 64 * 4000, 0, 0, 0)
    )


def test_layers_with_a_window_read_anew_for_every_query_head() -> None:
    # 64 sequences of 512 tokens, 2 KV heads of 8, and 16 or 32 query heads for each.
    def read_ms(heads: int) -> float:
        given = architecture(attention_heads=heads, head_dim=8, sliding_window=WINDOW)
        return timer(given)._decode_ms(64, 64 * 512, False, windowed=True)

    once = 64 * 512 * 2 * 2 * 8 * 2
    rate = FACTS.attention.windowed_gb_per_s * H100.multiprocessors * 1e6
    assert read_ms(64) - read_ms(32) == pytest.approx(16 * once / rate, rel=1e-4)


def test_multiprocessors_bound_what_decodes_read_where_there_are_few_for_the_bandwidth() -> None:
    facts = FACTS.attention
    assert facts.multiprocessor_gb_per_s * L4.multiprocessors > 4 * facts.bandwidth * L4.bandwidth_gb_per_s
    slow = H100.model_copy(update={"bandwidth_gb_per_s": 9000.0})
    longer, shorter = (timer(gpu=slow)._decode_ms(2, 2 * tokens, False, windowed=False) for tokens in (3000, 2000))
    rate = facts.multiprocessor_gb_per_s * H100.multiprocessors * 1e6
    assert longer - shorter == pytest.approx(2 * 1000 * 4096 / rate)


def test_the_gpu_begins_later_the_more_sequences_are_prepared_but_within_the_hosts_time() -> None:
    usual, slow, facts = timer(), timer(launch_us=2 * FACTS.host.launch_us), FACTS.pipeline
    assert facts.start_sequence_ms > 0
    for decoding in (1, 64):
        start = usual.start_ms(decoding, 50.0)
        assert start == pytest.approx(facts.start_ms + decoding * facts.start_sequence_ms)
        assert slow.start_ms(decoding, 50.0) == pytest.approx((1 + FACTS.host.launch_share) * start)
    assert usual.start_ms(256, 3.0) == 3.0


def test_a_request_is_taken_in_by_its_tokens() -> None:
    usual, slow, facts = timer(), timer(launch_us=2 * FACTS.host.launch_us), FACTS.host
    assert usual.request_ms(2000) - usual.request_ms(1000) == pytest.approx(facts.token_us)
    assert usual.request_ms(0) == pytest.approx(facts.request_ms)
    assert slow.request_ms(512) == pytest.approx((1 + facts.launch_share) * usual.request_ms(512))


def test_few_tokens_read_few_experts() -> None:
    sparse = architecture(experts=EXPERTS, intermediate_size=65536)
    one, many = (timer(sparse, facts=ROOF).gpu_ms(n, 0, 0, 0, 0) for n in (1, 256))
    assert many / one > 3.5  # 2 of 8 experts, then all of them


def test_part_of_the_hosts_time_is_its_launches() -> None:
    usual, slow = timer(), timer(launch_us=2 * FACTS.host.launch_us)
    times = 1 + FACTS.host.launch_share
    assert 1 < times < 2
    assert slow.host_ms(0, 2048) == pytest.approx(times * usual.host_ms(0, 2048))
    assert slow.host_ms(8, 0) == pytest.approx(times * usual.host_ms(8, 0))
    assert usual.host_ms(8, 0) == pytest.approx(FACTS.host.decode_ms + 8 * FACTS.host.sequence_ms)
    assert usual.host_ms(8, 0, joined=True) == pytest.approx(usual.host_ms(8, 0) + FACTS.host.joined_ms)
    assert usual.host_ms(0, 512) < usual.host_ms(0, 513)


def test_sequences_that_decode_beside_prompts_take_the_host_longer() -> None:
    usual = timer()
    decoding = FACTS.host.sequence_ms + FACTS.host.mixed_sequence_ms
    assert FACTS.host.mixed_sequence_ms > 0
    for prefill in (100, 2048):
        assert usual.host_ms(16, prefill) - usual.host_ms(0, prefill) == pytest.approx(16 * decoding)


def test_a_hot_gpu_takes_the_sustained_time_and_a_cool_one_less() -> None:
    assert FACTS.burst.share > 0
    heat = Heat(FACTS.burst)
    first = heat.step_ms(50.0, 2048)
    later = [heat.step_ms(50.0, 2048) for _ in range(20)][-1]
    assert 50.0 * (1 - FACTS.burst.share) < first < later <= 50.0
    assert later == pytest.approx(50.0, rel=1e-3)
    heat.step_ms(1000.0, 0)
    assert heat.step_ms(50.0, 2048) == pytest.approx(first, rel=1e-3)
    assert Heat(None).step_ms(50.0, 2048) == 50.0


@given(
    model=st.sampled_from(MODELS),
    weights=st.sampled_from(("bf16", "fp8", "awq", "gptq", "ctw8a8", "bitsandbytes")),
    cache=st.sampled_from(("auto", "fp8")),
    decoding=st.integers(1, 250),
    context=st.integers(1, 4000),
    prefill=st.integers(0, 2000),
)
def test_more_work_never_takes_less_time(
    model: str, weights: str, cache: str, decoding: int, context: int, prefill: int
) -> None:
    made = timer(model, weights_format=weights, kv_cache_dtype=cache)

    def step(n: int, tokens: int, prompt: int) -> float:
        return made.gpu_ms(n, n * tokens, prompt, prompt * (prompt + 1) // 2, min(prompt, 1))

    now = step(decoding, context, prefill)
    assert now > 0
    assert step(decoding, context + 50, prefill) >= now
    assert step(decoding, context, prefill + 100 if prefill else 0) >= now
    assert made.gpu_ms(decoding + 1, (decoding + 1) * context, prefill, 0, 0) >= 0.95 * made.gpu_ms(
        decoding, decoding * context, prefill, 0, 0
    )


@given(
    model=st.sampled_from(MODELS),
    weights=st.sampled_from(("bf16", "fp8", "awq")),
    decoding=st.integers(0, 250),
    prefill=st.integers(1, 2000),
    factor=st.floats(1.0, 4.0),
)
def test_a_faster_gpu_never_takes_more_time(
    model: str, weights: str, decoding: int, prefill: int, factor: float
) -> None:
    faster = H100.model_copy(
        update={
            "bandwidth_gb_per_s": factor * H100.bandwidth_gb_per_s,
            "bf16_tflops": factor * H100.bf16_tflops,
            "fp8_tflops": factor * H100.fp8_tflops,
        }
    )
    arguments = (decoding, 1000 * decoding, prefill, prefill * prefill, 1)
    slow, fast = (timer(model, gpu, weights_format=weights).gpu_ms(*arguments) for gpu in (H100, faster))
    assert fast <= slow * (1 + 1e-9)


def test_the_old_engine_adds_to_every_step() -> None:
    old = FACTS.old_engine
    added = timer(version="0.7.2").gpu_ms(8, 1000, 0, 0, 0) - timer(version="0.8.0").gpu_ms(8, 1000, 0, 0, 0)
    assert added == pytest.approx(old.step_ms + 8 * old.sequence_ms)
