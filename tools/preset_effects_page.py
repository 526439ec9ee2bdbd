"""The parts of docs/presets.md that say what techniques change: predicted per GPU, and measured where servers ran."""

from collections.abc import Callable, Mapping
from typing import Any

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.performance_facts import read_performance_facts
from gke_llm_inference.planning.performance.bands import Quantity as BandedQuantity
from gke_llm_inference.settings import Finding
from tools.markdown import paragraph, table
from tools.measured_effects import Pair, Quantity, pairs, pool_pairs
from tools.preset_effects import NOT_PREDICTED, Effect, batch_of, effect, reference, slower_from, techniques
from tools.reference_servers import (
    IN_FLIGHT,
    LIMITS,
    LOAD_CONTEXT,
    MODEL,
    PROFILE,
    REGION,
    Server,
    band,
    first_token_ms,
    known_gpus,
    kv_tokens,
    kv_tokens_margin,
    longest_at_once,
    price,
    prompt_tokens,
    request_tokens,
    requests_at_once,
    step_ms,
)

_HEADING = (
    "GPU",
    "step, 1 request",
    "step, n requests",
    "KV cache, tokens",
    "at once",
    "first token",
    "USD per million",
    "± %, basis",
)
_SIDES = "lrrrrrrl"
_READING = """What a technique changes depends on the GPU and on the load, so there is a number for each. Predicted
    is `{model}` on vLLM {version} with a context of {context:,} tokens, {sequences} sequences and {batched:,}
    tokens a step. The load is the profile `{profile}` ({source}): prompts of {prompt_p50:,} tokens (p90
    {prompt_p90:,}), answers of {answer_p50:,} (p90 {answer_p90:,}), cut to {cut:,} tokens together.
    [performance.md](performance.md) and [planning.md](planning.md) say how. In brackets is the value over that
    without the technique: ×0.50 is half."""
_COLUMNS = (
    """**step**: ms in which each of n requests gets its next token, half way through its answer; n is {batches} on the
    GPUs in the order of the tables, the largest power of two that fits without presets.""",
    "**KV cache**: tokens at a first start, and how far the plan may be off.",
    """**at once**: requests of mean length ({mean:,} tokens) that the cache holds, up to {sequences} / requests of the
    longest context.""",
    "**first token**: ms on an idle server, for a prompt of {first:,} tokens.",
    """**USD per million**: output tokens of a server that always has {flight} requests to serve or to queue, at the
    list price in `{region}` of the cheapest machine with those GPUs, input not counted. {spot}.""",
    """**± %**: how far nine of ten predictions of step / first token / USD are off at most, and what they rest on:
    this GPU and version measured, constants transferred from another, or estimated.""",
    """**measured**: ratios of pairs of runs of vLLM {version} that differ in the technique alone, and in brackets
    what is predicted of the same two runs. Steps have so many requests of some 150 tokens; tokens/s is for {busy}
    requests at a time of {busy_prompt:,} tokens in and 128 out; the first token is the median for prompts of
    {first_prompt:,} tokens, two a second. Rows with a source were published by others.""",
)
_NOTES = {
    "fp8-kv-cache-e4m3": """On an H100 the cache is not short here, so what is predicted to cost less are steps that
    prefill while many requests decode. The nearest pair of runs, {busy} requests at a time, made {measured} of the
    tokens per second where {predicted} is predicted: expect a gain where the cache is what limits a server, as on
    an L4.""",
}
"""What the figures of a technique do not say."""
_STATED_HITS = "agents"
"""The profile that states how much of its prompts the prefix cache has."""
_STEPS = (1, 16, 64, 128, 256)
"""Batches of the measured steps that the tables show."""
_BUSY, _BUSY_PROMPT = 64, 1024
_FIRST_PROMPT = 2048


def measured_step(technique: str, sequences: int, gpu: str = "nvidia-h100-80gb", model: str = "llama-3.1-8b") -> Pair:
    """The pair of measured steps with so many requests.

    Raises:
        ValueError: there is not exactly one.

    """
    (found,) = (
        pair
        for pair in pairs(technique)
        if (pair.quantity, pair.sequences, pair.gpu, pair.model) == ("step_ms", sequences, gpu, model)
    )
    return found


def measured_throughput(technique: str, gpu: str = "nvidia-h100-80gb", model: str = "llama-3.1-8b") -> Pair:
    """The pair of measured runs with 64 requests at a time.

    Raises:
        ValueError: there is not exactly one.

    """
    (found,) = (
        pair
        for pair in pairs(technique)
        if (pair.quantity, pair.sequences, pair.input_tokens, pair.gpu, pair.model)
        == ("output_tokens_per_second", _BUSY, _BUSY_PROMPT, gpu, model)
    )
    return found


def measured_first_token(technique: str, gpu: str = "nvidia-h100-80gb", model: str = "llama-3.1-8b") -> Pair:
    """The pair of measured times to the first token of a prompt of 2,048 tokens.

    Raises:
        ValueError: there is not exactly one.

    """
    (found,) = (
        pair
        for pair in pairs(technique)
        if (pair.quantity, pair.input_tokens, pair.gpu, pair.model) == ("ttft_ms.p50", _FIRST_PROMPT, gpu, model)
    )
    return found


def promise() -> str:
    """What may be expected of a preset, with the one finding that everybody should know."""
    lone, busy = (times(measured_step("awq", count).measured) for count in (1, 256))
    return paragraph(
        f"""What a technique changes is predicted for each GPU in [What the techniques
        change](#what-the-techniques-change), beside what was measured where servers ran without it and with it. A
        gain for one load can be a loss for another: measured on an H100, a step of Llama 3.1 8B with 4-bit weights
        takes {lone} of the time in bf16 with one request, and {busy} of it with 256. What follows for each goal of
        Google's guide is in [guide-checklist.md](guide-checklist.md)."""
    )


def summary() -> str:
    """What all techniques change, at a glance, and how to read the tables of each."""
    gpus, words = known_gpus(), _words()
    effects = {name: [effect(name, gpu) for gpu in gpus] for name in techniques() if name not in NOT_PREDICTED}
    heading, sides = ["technique", *(f"`{gpu}`" for gpu in gpus)], "l" + len(gpus) * "r"
    text = paragraph(_READING.format(**words))
    text += "".join(paragraph(column.format(**words), "* ") for column in _COLUMNS) + "\n"
    cells: dict[str, Callable[[Effect], str]] = {
        "Time of a step, one request / n requests:": _steps,
        "Tokens of the KV cache / USD per million output tokens:": _tokens_and_cost,
        "Requests at a time from which a step takes longer than without the technique:": _turning,
    }
    for title, cell in cells.items():
        rows = [
            [f"`{name}`", *(cell(one) if isinstance(one, Effect) else "refused" for one in found)]
            for name, found in effects.items()
        ]
        text += f"{title}\n\n" + table(heading, rows, sides)
    rows = [_row(Effect(gpu=gpu, before=reference(gpu), after=reference(gpu))) for gpu in gpus]
    return text + "The server without presets:\n\n" + table(_HEADING, rows, _SIDES)


def section(technique: str) -> str:
    """The effect of one technique: the predicted table or why there is none, then what was measured."""
    if technique in NOT_PREDICTED:
        version = read_performance_facts().version
        text = paragraph(f"Effect not predicted: {NOT_PREDICTED[technique].format(version=version)}.")
        if technique == "prefix-caching":
            text += _prefix_hits()
    else:
        text = _predicted({gpu: effect(technique, gpu) for gpu in known_gpus()})
    return text + _measured(technique)


def times(ratio: float) -> str:
    """A ratio."""
    return f"×{ratio:.2f}"


def milliseconds(value: float) -> str:
    """A time in ms."""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def usd(value: float) -> str:
    """A price in USD."""
    return f"{value:.2f}"


def certainty(server: Server, *quantities: BandedQuantity) -> str:
    """Error bands of step, first token and price, or of the quantities, in percent; and what they rest on."""
    bands = [band(server, one) for one in quantities or ("step_ms", "ttft_ms.p50", "output_tokens_per_second")]
    return f"{' / '.join(f'{one.percent:.0f}' for one in bands)}, {bands[0].basis}"


def _words() -> dict[str, Any]:
    """What the text on server and load says."""
    profile = load_catalog().workloads[PROFILE]
    servers = [reference(gpu) for gpu in known_gpus()]
    spot = ", ".join(f"`{server.machine_type}`" for server in servers if server.spot)
    return {
        "model": MODEL,
        "version": servers[0].plan.request.version,
        "context": LIMITS["maxModelLen"],
        "sequences": LIMITS["maxNumSeqs"],
        "batched": LIMITS["maxNumBatchedTokens"],
        "profile": PROFILE,
        "source": profile.source.partition(",")[0],
        "prompt_p50": profile.input_tokens.p50,
        "prompt_p90": profile.input_tokens.p90,
        "answer_p50": profile.output_tokens.p50,
        "answer_p90": profile.output_tokens.p90,
        "cut": LOAD_CONTEXT,
        "mean": request_tokens(),
        "first": prompt_tokens(),
        "flight": IN_FLIGHT,
        "busy": _BUSY,
        "busy_prompt": _BUSY_PROMPT,
        "first_prompt": _FIRST_PROMPT,
        "region": REGION,
        "batches": ", ".join(str(batch_of(server)) for server in servers),
        "spot": f"{spot} is not sold on demand: its price is that of Spot" if spot else "All are on demand",
    }


def _predicted(found: Mapping[str, Effect | Finding]) -> str:
    rows = [_row(one) for one in found.values() if isinstance(one, Effect)]
    text = "Predicted:\n\n" + table(_HEADING, rows, _SIDES)
    refused = [(gpu, one) for gpu, one in found.items() if isinstance(one, Finding)]
    return text + "".join(paragraph(f"Refused on `{gpu}`: {one.what}, and {one.why}.") for gpu, one in refused)


def _row(one: Effect) -> list[str]:
    """A GPU's row; the server without presets has no ratios."""
    before, after = one.before, one.after

    def cell(of: Callable[[Server], float], form: Callable[[float], str]) -> str:
        text = form(of(after))
        return text if before is after else f"{text} ({times(of(after) / of(before))})"

    gpus = f"{after.gpus} × " if after.gpus > 1 else ""
    return [
        f"{gpus}`{one.gpu}`",
        cell(lambda server: step_ms(server, 1), milliseconds),
        cell(lambda server: step_ms(server, one.batch), milliseconds),
        cell(kv_tokens, lambda tokens: f"{tokens:,.0f} ± {kv_tokens_margin(after):,}"),
        f"{requests_at_once(after)} / {longest_at_once(after):.1f}",
        cell(first_token_ms, milliseconds),
        cell(price, usd),
        certainty(after),
    ]


def _steps(one: Effect) -> str:
    return " / ".join(times(step_ms(one.after, count) / step_ms(one.before, count)) for count in (1, one.batch))


def _tokens_and_cost(one: Effect) -> str:
    tokens = kv_tokens(one.after) / kv_tokens(one.before)
    return f"{times(tokens)} / {times(price(one.after) / price(one.before))}"


def _turning(one: Effect) -> str:
    count = slower_from(one)
    return f"never up to {one.before.plan.limits.max_num_seqs}" if count is None else str(count)


def _prefix_hits() -> str:
    """First token and price without and with the share of a prompt that a profile states."""
    rate = load_catalog().workloads[_STATED_HITS].prefix_cache_hit_rate
    rows = []
    for gpu in known_gpus():
        server = reference(gpu)
        first = [first_token_ms(server, share) for share in (0.0, rate)]
        cost = [price(server, share) for share in (0.0, rate)]
        rows.append(
            [
                f"`{gpu}`",
                milliseconds(first[0]),
                f"{milliseconds(first[1])} ({times(first[1] / first[0])})",
                usd(cost[0]),
                f"{usd(cost[1])} ({times(cost[1] / cost[0])})",
                certainty(server),
            ]
        )
    share = f"{100 * rate:.0f} %"
    heading = ["GPU", "first token, none", share, "USD per million, none", share, "± %, basis"]
    text = f"Where none and where {share} of every prompt is in the cache, as the profile `{_STATED_HITS}` states:\n\n"
    return text + table(heading, rows, "lrrrrl")


def _measured(technique: str) -> str:
    """What was measured of a technique, beside what is predicted of the same runs."""
    speed, pools = pairs(technique), pool_pairs(technique)
    text = ""
    if speed:
        keys = sorted({_key(pair) for pair in speed})
        rows = [_measured_row([pair for pair in speed if _key(pair) == key]) for key in keys]
        steps = [f"step, {count}" for count in _STEPS]
        heading = ["runs", *steps, f"tokens/s, {_BUSY}", "first token"]
        text += "Measured:\n\n" + table(heading, rows, "l" + (len(heading) - 1) * "r")
        text += _note(technique)
    elif technique not in NOT_PREDICTED:
        text += paragraph("No pair of runs differs in it alone, so what it does to speed is not measured.")
    if pools:
        rows = [
            [
                _joined(pair.model, pair.change),
                f"{pair.measured[0]:,}",
                f"{pair.measured[1]:,} ({pair.planned[1]:,})",
                f"{times(pair.measured[1] / pair.measured[0])} ({times(pair.planned[1] / pair.planned[0])})",
            ]
            for pair in pools
        ]
        text += "Measured KV cache within an L4's memory, on an H200 (and as planned):\n\n"
        text += table(["runs", "tokens without", "tokens with", "ratio"], rows, "lrrr")
    return text


def _key(pair: Pair) -> tuple[str, str, str, str]:
    return pair.published, pair.gpu, pair.model, pair.change


def _measured_row(same: list[Pair]) -> list[str]:
    wanted: list[tuple[Quantity, int, int]] = [
        *(("step_ms", count, 0) for count in _STEPS),
        ("output_tokens_per_second", _BUSY, _BUSY_PROMPT),
        ("ttft_ms.p50", 0, _FIRST_PROMPT),
    ]
    cells = []
    for key in wanted:
        found = [pair for pair in same if (pair.quantity, pair.sequences, pair.input_tokens) == key]
        cells.append(f"{times(found[0].measured)} ({times(found[0].predicted)})" if found else "–")
    one = same[0]
    return [_joined(f"`{one.gpu}`", one.model, one.change, one.published), *cells]


def _joined(*words: str) -> str:
    return ", ".join(word for word in words if word)


def _note(technique: str) -> str:
    if technique not in _NOTES:
        return ""
    pair = measured_throughput(technique)
    words = {"busy": _BUSY, "measured": times(pair.measured), "predicted": times(pair.predicted)}
    return paragraph(_NOTES[technique].format(**words))
