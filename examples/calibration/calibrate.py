"""Measures a vLLM server on the GPU of this machine, and writes what gke-llm-inference calibrates its predictions with.

    python3 calibrate.py --gpu nvidia-l4 -- vllm serve MODEL ARGUMENTS...

It runs in the server's own image and needs nothing else: it starts the server as the command says, sends it the loads
of vLLM's own benchmark (`vllm bench serve`), and stops it. Progress and both programs' output go to stderr; the
calibration is the only thing on stdout, between two lines of marks. Whatever fails, no file is left and the exit status
is 1.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FORMAT = 1
BEGIN, END = "-----BEGIN CALIBRATION-----", "-----END CALIBRATION-----"
_LAUNCHES, _ROUNDS = 500, 30
_WARM_SECONDS = 1.0
_MOST_CACHED = 0.05
_STOP_SECONDS = 30
# Requests fail before the server's process has ended.
DYING_SECONDS = 5.0
_FORMATS = {
    "awq": "awq",
    "awq_marlin": "awq",
    "bitsandbytes": "bitsandbytes",
    "fp8": "fp8",
    "gptq": "gptq",
    "gptq_marlin": "gptq",
    "mxfp4": "mxfp4",
    "float-quantized": "ctfp8",
    "int-quantized": "ctw8a8",
    "pack-quantized": "ctw4a16",
}

Benchmark = Callable[[list[str]], None]
"""Runs `vllm bench serve` with these arguments; it writes its result where they say."""


class Failed(Exception):  # noqa: N818 what the person at the keyboard reads
    """The measurement cannot go on; the text says why, and what to do."""


@dataclass(frozen=True)
class Load:
    """Requests of which that many are kept in flight; a decode step is measured where all are sent at once."""

    concurrency: int
    requests: int
    input_tokens: int
    output_tokens: int
    spread: float = 0.0

    @property
    def longest(self) -> int:
        """Tokens of the longest request."""
        return self.input_tokens + round(self.output_tokens * (1 + self.spread))


DECODES = (
    Load(1, 1, 128, 64),
    Load(4, 4, 128, 64),
    Load(16, 16, 128, 64),
    Load(32, 32, 128, 64),
    Load(64, 64, 128, 64),
    Load(1, 1, 2048, 64),
    Load(8, 8, 1024, 64),
    Load(32, 32, 1024, 64),
)
LOOPS = (
    Load(1, 6, 1024, 32),
    Load(8, 32, 512, 128, 0.5),
    Load(32, 96, 1024, 128, 0.5),
)


def main(
    arguments: Sequence[str] | None = None,
    *,
    benchmark: Benchmark | None = None,
    hardware: Callable[[], dict[str, Any]] | None = None,
) -> int:
    """Measure, then print and write the calibration; 0 when it is whole."""
    if list(arguments if arguments is not None else sys.argv[1:]) == ["--hardware"]:
        json.dump(_hardware(), sys.stdout)
        return 0
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with _own_stdout() as stdout:
        try:
            found = _calibration(options, benchmark or _bench_serve, hardware or _measured_hardware)
            text = json.dumps(found, indent=2, allow_nan=False) + "\n"
            if options.out:
                _write(Path(options.out), text)
        except Failed as failure:
            _say(f"failed: {failure}")
            return 1
        stdout.write(f"{BEGIN}\n{text}{END}\n")
    return 0


def _calibration(
    options: argparse.Namespace, benchmark: Benchmark, hardware: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    started = time.monotonic()
    command = list(options.command)
    model = options.model or _model_of(command)
    machine = hardware()
    _say(f"{machine['gpuName']}; a kernel is launched in {machine['hostLaunchUs']} µs")
    with _server(command, options) as server:
        weights = options.weights_format or _weights_format(command)
        version, limits = server.version(), server.limits()
        sequences = _number(command, "--max-num-seqs")
        decodes = [load for load in DECODES if _fits(load, limits, sequences, at_once=True)]
        loops = [load for load in LOOPS if _fits(load, limits, sequences, at_once=False)]
        if len(decodes) < 2 or not loops:
            raise Failed(
                f"the server has room for {len(decodes)} of the decode steps and {len(loops)} of the loops; "
                "give it a longer --max-model-len or more memory for its KV cache"
            )
        run = _Runs(server, benchmark, Path(options.scratch))
        run.warm_up(decodes[0])
        steps = [_decode(load, run(load)) for load in decodes]
        closed = [_loop(load, run(load)) for load in loops]
        if (cached := server.cached_share()) > _MOST_CACHED:
            raise Failed(
                f"{cached:.0%} of the prompts' tokens came from the prefix cache: they are too alike here; "
                "add --no-enable-prefix-caching to the server's command"
            )
    _say(f"measured in {time.monotonic() - started:.0f} s")
    return {
        "format": FORMAT,
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC") + (f", {options.note}" if options.note else ""),
        "gpu": options.gpu,
        "gpuName": machine["gpuName"],
        "server": "vllm",
        "version": version,
        "model": model,
        "weightsFormat": weights,
        "kvCacheDtype": {"fp8": "fp8_e4m3"}.get(kv := _flag(command, "--kv-cache-dtype") or "auto", kv),
        "tensorParallel": _number(command, "--tensor-parallel-size") or 1,
        **limits,
        **({"maxNumSeqs": sequences} if sequences else {}),
        **({"maxNumBatchedTokens": tokens} if (tokens := _number(command, "--max-num-batched-tokens")) else {}),
        "enforceEager": "--enforce-eager" in command,
        "hostLaunchUs": machine["hostLaunchUs"],
        "decodes": steps,
        "loops": closed,
    }


def _decode(load: Load, result: dict[str, Any]) -> dict[str, Any]:
    """Between tokens of requests that all decode there is one step; the median is one without prefill."""
    context = load.input_tokens + load.output_tokens // 2
    return {"sequences": load.concurrency, "context": context, "stepMs": _figure(result, "median_itl_ms")}


def _loop(load: Load, result: dict[str, Any]) -> dict[str, Any]:
    return {
        "concurrency": load.concurrency,
        "requests": load.requests,
        "inputTokens": load.input_tokens,
        "outputTokens": round(_figure(result, "total_output_tokens") / load.requests, 2),
        "outputSpread": load.spread,
        "ttftMs": {"p50": _figure(result, "median_ttft_ms"), "p90": _figure(result, "p90_ttft_ms")},
        "tpotMs": {"p50": _figure(result, "median_tpot_ms"), "p90": _figure(result, "p90_tpot_ms")},
        "outputTokensPerSecond": _figure(result, "output_throughput"),
    }


def _figure(result: dict[str, Any], key: str) -> float:
    value = result.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise Failed(f"the benchmark's result has no {key}: this version of vLLM writes another one")
    return round(float(value), 4)


def _fits(load: Load, limits: dict[str, int], sequences: int | None, *, at_once: bool) -> bool:
    room = load.longest * (load.concurrency if at_once else 1)
    if at_once and sequences and load.concurrency > sequences:
        return False
    return load.longest <= limits["maxModelLen"] and room <= limits["kvCacheTokens"]


class _Server:
    """A running server, seen from its HTTP interface."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self._process, self.port = process, port
        # The server is on this machine, whatever proxy there is to others.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def wait(self, seconds: float) -> None:
        """Until it answers.

        Raises:
            Failed: it ended, or it takes longer.

        """
        end = time.monotonic() + seconds
        while True:
            self.check()
            with contextlib.suppress(OSError):
                self._get("/health")
                return
            if time.monotonic() > end:
                raise Failed(f"the server did not answer within {seconds:.0f} s; its last lines are above")
            time.sleep(1)

    def check(self, seconds: float = 0.0) -> None:
        """Nothing while it runs, for that long.

        Raises:
            Failed: it ended.

        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._process.wait(seconds)
            raise Failed(f"the server ended with status {status}; its last lines are above")

    def version(self) -> str:
        """Its version, without what a build adds to it."""
        found = re.match(r"[0-9]+\.[0-9]+(\.[0-9]+)?", str(json.loads(self._get("/version")).get("version")))
        if not found:
            raise Failed("the server does not tell its version")
        return found.group()

    def limits(self) -> dict[str, int]:
        """Its longest context, and the tokens that its KV cache holds."""
        (card, *_) = json.loads(self._get("/v1/models"))["data"]
        info = re.search(r"^vllm:cache_config_info\{(.*)\}", self._get("/metrics"), re.MULTILINE)
        labels = dict(re.findall(r'(\w+)="([^"]*)"', info.group(1))) if info else {}
        try:
            tokens = int(labels["num_gpu_blocks"]) * int(labels["block_size"])
            return {"maxModelLen": int(card["max_model_len"]), "kvCacheTokens": tokens}
        except (KeyError, ValueError):
            raise Failed("the server's metrics do not tell the size of its KV cache") from None

    def cached_share(self) -> float:
        """Share of the prompts' tokens that the prefix cache had; 0 where the server does not tell."""
        found = re.findall(
            r"^vllm:prefix_cache_(queries|hits)_total(?:\{.*\})? (\S+)", self._get("/metrics"), re.MULTILINE
        )
        totals = {name: sum(float(value) for key, value in found if key == name) for name in ("queries", "hits")}
        return totals["hits"] / totals["queries"] if totals["queries"] else 0.0

    def _get(self, path: str) -> str:
        with self._opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())


@contextlib.contextmanager
def _server(command: list[str], options: argparse.Namespace) -> Iterator[_Server]:
    """The server while it runs; it is gone afterwards, whatever happens."""
    _say("starting the server")
    try:
        process = subprocess.Popen(command, stdout=sys.stderr.fileno(), start_new_session=True)  # noqa: S603 as asked
    except OSError as error:
        raise Failed(f"the server cannot be started: {error.strerror}") from None
    try:
        server = _Server(process, _number(command, "--port") or 8000)
        server.wait(options.start_seconds)
        try:
            yield server
        except (OSError, ValueError) as error:
            server.check(DYING_SECONDS)
            raise Failed(f"the server's answer cannot be read: {type(error).__name__}") from None
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a server and the processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
            return


class _Runs:
    """Runs of the benchmark, each with prompts of its own."""

    def __init__(self, server: _Server, benchmark: Benchmark, scratch: Path) -> None:
        self._server, self._benchmark, self._scratch, self._count = server, benchmark, scratch, 0

    def warm_up(self, load: Load) -> None:
        """The first requests of a server are slower than any other."""
        self(load)

    def __call__(self, load: Load) -> dict[str, Any]:
        self._count += 1
        _say(
            f"{load.requests} requests of {load.input_tokens} + {load.output_tokens} tokens, {load.concurrency} at once"
        )
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            try:
                self._benchmark(_benchmark_arguments(load, self._server.port, self._count, folder))
                result = json.loads((Path(folder) / "result.json").read_text())
            except (Exception, SystemExit) as error:
                self._server.check(DYING_SECONDS)
                raise Failed(f"the benchmark failed: {type(error).__name__}: {error}") from None
        self._server.check()
        if not isinstance(result, dict) or result.get("completed") != load.requests:
            raise Failed("requests of the benchmark failed; their errors are above")
        return result


def _benchmark_arguments(load: Load, port: int, seed: int, folder: str) -> list[str]:
    """Arguments of `vllm bench serve`; another seed gives other prompts, of which no prefix is cached."""
    arguments: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "dataset-name": "random",
        "random-input-len": load.input_tokens,
        "random-output-len": load.output_tokens,
        "random-range-ratio": json.dumps({"input": 0.0, "output": load.spread}),
        "num-prompts": load.requests,
        "max-concurrency": load.concurrency,
        "seed": seed,
        "temperature": 1.0,
        "percentile-metrics": "ttft,tpot,itl",
        "metric-percentiles": "90",
        "result-dir": folder,
        "result-filename": "result.json",
    }
    return [
        *(f"--{name}={value}" for name, value in arguments.items()),
        "--ignore-eos",
        "--save-result",
        "--disable-tqdm",
    ]


def _bench_serve(arguments: list[str]) -> None:
    """`vllm bench serve` in this process: what it imports takes longer than most loads."""
    from vllm.entrypoints.cli.main import main as vllm_main

    before = sys.argv
    sys.argv = ["vllm", "bench", "serve", *arguments]
    try:
        vllm_main()
    finally:
        sys.argv = before


def _measured_hardware() -> dict[str, Any]:
    """The GPU's name and the host's speed, from a process of its own: this one must not hold memory of the GPU."""
    found = subprocess.run([sys.executable, __file__, "--hardware"], stdout=subprocess.PIPE, check=False)  # noqa: S603
    if found.returncode:
        raise Failed("torch cannot use the GPU; its last lines are above")
    measured: dict[str, Any] = json.loads(found.stdout)
    return measured


def _hardware() -> dict[str, Any]:
    """Median time in which the host launches a kernel outside of a CUDA graph, of many in a row."""
    import torch

    tensor = torch.zeros(1, device="cuda")

    def launched() -> float:
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(_LAUNCHES):
            tensor + 1
        return time.perf_counter() - begin

    # The first launches load kernels, and a core that was idle is slow for a while.
    end = time.perf_counter() + _WARM_SECONDS
    while time.perf_counter() < end:
        launched()
    times = [launched() for _ in range(_ROUNDS)]
    torch.cuda.synchronize()
    return {
        "gpuName": torch.cuda.get_device_name(0),
        "hostLaunchUs": round(1e6 * statistics.median(times) / _LAUNCHES, 3),
    }


def _weights_format(command: list[str]) -> str:
    """The format of the weights: as the command asks for it, or as the model's config.json states it."""
    asked = _flag(command, "--quantization")
    stated = _model_config(command).get("quantization_config") or {}
    method = stated.get("quant_method") or asked
    if method is None:
        return "bf16"
    if method == "compressed-tensors":
        method = stated.get("format")
    if "quant_method" in stated and method == "fp8":
        return "ctfp8"
    found = _FORMATS.get(str(method))
    if found is None:
        raise Failed(f"the weights format {method} is not known here; name it with --weights-format")
    return f"{found}8" if found == "gptq" and stated.get("bits") == 8 else found


def _model_config(command: list[str]) -> dict[str, Any]:
    model = _model_of(command)
    path = Path(model) / "config.json"
    try:
        if not path.is_file():
            from huggingface_hub import hf_hub_download

            path = Path(hf_hub_download(model, "config.json", revision=_flag(command, "--revision")))
        config: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError, ImportError) as error:
        raise Failed(f"the model's config.json cannot be read: {type(error).__name__}") from None
    return config


def _model_of(command: list[str]) -> str:
    """The model that a command serves."""
    named = _flag(command, "--model")
    if named:
        return named
    place = command.index("serve") + 1 if "serve" in command else len(command)
    if place >= len(command) or command[place].startswith("-"):
        raise Failed("the command does not name a model: write vllm serve MODEL ARGUMENTS...")
    return command[place]


def _flag(command: list[str], name: str) -> str | None:
    for place, word in enumerate(command):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and place + 1 < len(command):
            return command[place + 1]
    return None


def _number(command: list[str], name: str) -> int | None:
    text = _flag(command, name)
    if text is None:
        return None
    if not text.isdigit():
        raise Failed(f"{name} is not a number")
    return int(text)


@contextlib.contextmanager
def _own_stdout() -> Iterator[Any]:
    """Standard output for the result alone: what anything else prints goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(os.dup(kept), "w", encoding="utf-8") as stdout:
            yield stdout
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _write(path: Path, text: str) -> None:
    """The whole file or none."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False, encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise Failed(f"{path} cannot be written: {error.strerror}") from None


def _say(text: str) -> None:
    sys.stderr.write(f"calibrate: {text}\n")
    sys.stderr.flush()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gpu", required=True, help="GKE's name of the GPU, such as nvidia-l4")
    parser.add_argument("--model", help="Hugging Face id of the model, where the command names a directory")
    parser.add_argument("--weights-format", help="format of the weights, such as awq; by default as config.json has it")
    parser.add_argument("--note", help="a word on where it was measured")
    parser.add_argument("--out", help="write the calibration into this file too")
    parser.add_argument("--scratch", default=tempfile.gettempdir(), help="where the benchmark may write its results")
    parser.add_argument("--start-seconds", type=float, default=1800, help="how long the server may take to start")
    parser.add_argument("command", nargs="+", help="the server's command, after --")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
