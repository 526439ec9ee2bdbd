"""A server's scheduler, step by step: which requests each step serves, and when their tokens come out.

vLLM's rules: decodes first, then prompts in chunks while the step has tokens left, in order of arrival; a request waits
until the pool has blocks for its chunk; a decode that finds none sends the youngest request back to the queue, to be
computed again. Scheduling is one step ahead of the GPU:

    end(k) = max(max(end(k-1), call(k) + start(k)) + gpu(k), call(k) + host(k) + finish)
    call(k+1) = max(call(k) + host(k), end(k-1) + output)

Requests that have come by then are taken in first, which takes the host some time too.
The tokens of a step come out when the next step is launched, too: at the call after it. Where tokens are guessed from
the last ones nothing runs ahead: the next call follows the step's own end, and its tokens come out there.

Steps that only decode the same sequences differ by one token of context each: they are advanced in one jump.
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass, replace
from functools import lru_cache

from gke_llm_inference.planning.performance.load import Load, normal_quantile
from gke_llm_inference.planning.performance.step_time import Heat, StepTimer

_BLOCK = 16
_EXACT_STEPS = 3
_JITTERS = 64


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """What bounds the scheduler's batches.

    Attributes:
        batched_tokens: most tokens of a step.
        sequences: most requests that run at once.
        pool_tokens: tokens that the KV cache holds.
        prefix_hit_rate: share of every prompt that the prefix cache has.
        tokens_per_step: tokens of a step that decodes, for each sequence: more than one where drafts are accepted. The
            cache of those beyond one a step is not counted.
        request_ms: time that the API server adds before a request is queued.
        token_ms: the same per prompt token.

    """

    batched_tokens: int
    sequences: int
    pool_tokens: int
    prefix_hit_rate: float = 0.0
    tokens_per_step: float = 1.0
    request_ms: float = 0.0
    token_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Served:
    """What happened to the requests of a load, in their order; ms.

    Attributes:
        first_ms: time from arrival to the first token.
        between_ms: time from the first to the last token over the tokens after the first; None for one token.
        duration_ms: from the start until the last token.
        busy_ms: time in which the GPU worked.
        preemptions: how often a request lost its cache.

    """

    first_ms: tuple[float, ...]
    between_ms: tuple[float | None, ...]
    output_tokens: int
    duration_ms: float
    busy_ms: float
    preemptions: int
    steps: int

    @property
    def output_tokens_per_second(self) -> float:
        """Tokens over the whole duration."""
        return 1000 * self.output_tokens / self.duration_ms


def simulate(timer: StepTimer, limits: ServerLimits, load: Load) -> Served:
    """Serve a load; the same arguments give the same result."""
    if limits.tokens_per_step == 1:
        return _Simulation(timer, limits, load).run()
    steps = tuple(1 + math.ceil((tokens - 1) / limits.tokens_per_step) for tokens in load.outputs)
    served = _Simulation(timer, limits, replace(load, outputs=steps)).run()
    return replace(
        served,
        between_ms=tuple(
            between * (some - 1) / (tokens - 1) if between is not None else None
            for between, some, tokens in zip(served.between_ms, steps, load.outputs, strict=True)
        ),
        output_tokens=sum(load.outputs),
    )


class _Simulation:
    """The state of a server between two calls of its scheduler."""

    def __init__(self, timer: StepTimer, limits: ServerLimits, load: Load) -> None:
        self._timer, self._limits, self._load = timer, limits, load
        count = len(load.prompts)
        pipeline = timer.pipeline
        self._end, self._output = pipeline.end_ms, pipeline.output_ms
        self._window = timer.window
        self._heat = Heat(timer.bursts)
        self._jitter = _jitter(timer.host_jitter)
        self._arrived = [0.0] * count
        self._first = [math.inf] * count
        self._last = [math.inf] * count
        # A request that lost its cache computes its own tokens again: they become part of its prompt.
        self._prompt = list(load.prompts)
        self._computed = [0] * count
        self._produced = [0] * count
        self._absorbed = [0] * count
        self._coming: deque[tuple[float, int]] = deque()
        self._waiting: deque[int] = deque()
        self._chunked: deque[int] = deque()
        self._decoding: list[tuple[int, int]] = []
        """Requests that decode, by the step that makes their last token: a heap."""
        self._order: dict[int, None] = {}
        """Requests that run, the youngest last."""
        self._starting: list[int] = []
        """Requests whose first token the last step makes."""
        self._ending: list[int] = []
        """Requests whose last token it makes."""
        self._context = 0
        self._used = 0
        self._step = 0
        self._prefills = 0
        self._sent = 0
        self._done = 0
        self._preemptions = 0
        self._busy = 0.0

    def run(self) -> Served:
        load, count = self._load, len(self._load.prompts)
        if load.arrivals_ms is None:
            for _ in range(min(load.concurrency or count, count)):
                self._send(0.0)
        else:
            for arrival in load.arrivals_ms:
                self._send(arrival)
        now, end = 0.0, -math.inf
        joined = False
        while self._done < count:
            while self._coming and self._coming[0][0] <= now:
                index = self._coming.popleft()[1]
                now += self._timer.request_ms(self._prompt[index])
                self._waiting.append(index)
            prefill, attended, windowed, finished, parts = self._chunks()
            if not prefill and not self._decoding:
                # Nothing to schedule: what runs ends, or the next request arrives.
                if self._ending or self._starting:
                    now = max(now, end + self._output)
                    self._release(now)
                    joined = False
                else:
                    now = max(now, self._coming[0][0])
                continue
            steps = 1 if prefill else self._jump(now, end)
            decoding = len(self._decoding)
            if steps > 1:
                now, end = self._advance(now, end, steps, joined)
            else:
                gpu = self._timer.gpu_ms(decoding, self._context + decoding, prefill, attended, parts, windowed)
                gpu = self._heat.step_ms(gpu, prefill)
                host = self._timer.host_ms(decoding, prefill, joined)
                if prefill:
                    host *= self._jitter[self._prefills % _JITTERS]
                    self._prefills += 1
                self._busy += gpu
                now, end = self._follow(now, end, gpu, host, self._timer.start_ms(decoding, host))
            joined = prefill > 0
            self._step += steps
            self._context += decoding * steps
            self._used += decoding * steps
            # By the next call there are the tokens of the step before this one; of this one, where nothing runs ahead.
            if self._timer.ahead:
                self._release(now)
                self._finish(finished)
            else:
                self._finish(finished)
                self._release(now)
        begin = 0.0 if load.arrivals_ms is None else min(0.0, *load.arrivals_ms)
        return Served(
            first_ms=tuple(first - arrived for first, arrived in zip(self._first, self._arrived, strict=True)),
            between_ms=tuple(
                (last - first) / (outputs - 1) if outputs > 1 else None
                for first, last, outputs in zip(self._first, self._last, load.outputs, strict=True)
            ),
            output_tokens=sum(load.outputs),
            duration_ms=max(self._last) - begin,
            busy_ms=self._busy,
            preemptions=self._preemptions,
            steps=self._step,
        )

    def _follow(self, now: float, end: float, gpu: float, host: float, start: float) -> tuple[float, float]:
        """The scheduler's next call, and the end of the step on the GPU.

        It ends after the one before it and its own time, and after the host's last launch. The next is scheduled once
        it is launched and the one before it is done; once it is done itself, where nothing runs ahead.
        """
        ends = max(max(end, now + start) + gpu, now + host + self._end)
        return max(now + host, (end if self._timer.ahead else ends) + self._output), ends

    def _send(self, now: float) -> None:
        """A request of a client: it is queued once the API server has read it."""
        index = self._sent
        self._sent += 1
        self._arrived[index] = now
        delay = self._limits.request_ms + self._limits.token_ms * self._prompt[index]
        self._coming.append((now + delay, index))

    def _chunks(self) -> tuple[int, int, int, list[int], int]:
        """Prompt tokens of the next step, the positions that they attend to, who ends with them, and how many parts."""
        if not self._chunked and not self._waiting:
            return 0, 0, 0, [], 0
        limits, decoding = self._limits, len(self._decoding)
        left = limits.batched_tokens - decoding
        free = limits.pool_tokens - self._used - decoding
        running = decoding + len(self._chunked) + len(self._ending)
        alone = not decoding and not self._ending
        prefill = attended = windowed = parts = 0
        finished: list[int] = []
        queue, self._chunked = self._chunked, deque()
        while left > 0:
            fresh = not queue
            if fresh and (not self._waiting or running >= limits.sequences):
                break
            index = self._waiting[0] if fresh else queue[0]
            before = self._cached(index) if fresh else self._computed[index]
            chunk = min(self._prompt[index] - before, left)
            needed = chunk + before if fresh else chunk
            if needed > free and not (alone and not parts):
                break
            if fresh:
                self._waiting.popleft()
                self._order[index] = None
                running += 1
            else:
                queue.popleft()
            attended += chunk * before + chunk * (chunk + 1) // 2
            if self._window:
                windowed += attended_within(before, chunk, self._window)
            self._computed[index] = before + chunk
            self._used += needed
            free -= needed
            left -= chunk
            prefill += chunk
            parts += 1
            if before + chunk == self._prompt[index]:
                finished.append(index)
            else:
                self._chunked.append(index)
        self._chunked.extend(queue)
        return prefill, attended, windowed, finished, parts

    def _cached(self, index: int) -> int:
        if self._produced[index]:
            return 0
        hit = int(self._limits.prefix_hit_rate * self._prompt[index]) // _BLOCK * _BLOCK
        return min(hit, (self._prompt[index] - 1) // _BLOCK * _BLOCK)

    def _jump(self, now: float, end: float) -> int:
        """How many steps decode the same sequences: until one ends, a request arrives, or the pool is full."""
        self._make_room()
        decoding = len(self._decoding)
        steps = self._decoding[0][0] - self._step
        if self._ending or self._starting or steps <= 1:
            # Tokens come out with the next step; whoever waits gets what those requests hold.
            return 1
        steps = min(steps, max(1, (self._limits.pool_tokens - self._used) // decoding))
        if self._coming:
            each = self._timer.decode_ms(decoding, self._context + decoding)
            steps = min(steps, max(1, math.ceil((self._coming[0][0] - max(now, end - each)) / each)))
        return steps

    def _make_room(self) -> None:
        """Send the youngest requests back to the queue while the pool has no room for the next tokens."""
        while self._used + len(self._decoding) > self._limits.pool_tokens and len(self._decoding) > 1:
            youngest = next(reversed(self._order))
            if youngest in self._chunked:
                self._chunked.remove(youngest)
                held = self._computed[youngest]
            else:
                at = next(i for i, (_, index) in enumerate(self._decoding) if index == youngest)
                last, _ = self._decoding.pop(at)
                heapq.heapify(self._decoding)
                produced = self._load.outputs[youngest] - (last - self._step)
                held = self._prompt[youngest] + produced - self._absorbed[youngest] - 1
                self._context -= held
                self._prompt[youngest] = held + 1
                self._absorbed[youngest] = self._produced[youngest] = produced
            self._used -= held
            self._computed[youngest] = 0
            del self._order[youngest]
            self._waiting.appendleft(youngest)
            self._preemptions += 1

    def _advance(self, now: float, end: float, steps: int, joined: bool) -> tuple[float, float]:
        """Steps that only decode, the first few one by one and the rest at their mean."""
        timer, decoding = self._timer, len(self._decoding)
        context = self._context + decoding
        host = timer.host_ms(decoding, 0)
        exact = min(steps, _EXACT_STEPS)
        for step in range(exact):
            gpu = self._heat.step_ms(timer.gpu_ms(decoding, context, 0, 0, 0), 0)
            first = timer.host_ms(decoding, 0, joined) if step == 0 else host
            self._busy += gpu
            now, end = self._follow(now, end, gpu, first, timer.start_ms(decoding, first))
            context += decoding
        rest = steps - exact
        if rest:
            gpu = timer.gpu_ms(decoding, context + decoding * (rest - 1) / 2, 0, 0, 0)
            self._heat.step_ms(gpu * rest, 0)
            self._busy += gpu * rest
            if timer.ahead:
                each = max(gpu, host)
                end += rest * each
                now = max(now + rest * host, end - each + self._output)
            else:
                each = max(timer.start_ms(decoding, host) + gpu, host + self._end) + self._output
                end += rest * each
                now += rest * each
        return now, end

    def _finish(self, finished: list[int]) -> None:
        """What the step just scheduled makes: first tokens, and last ones."""
        while self._decoding and self._decoding[0][0] <= self._step:
            self._end_request(heapq.heappop(self._decoding)[1])
        for index in finished:
            if not self._produced[index]:
                self._starting.append(index)
            self._produced[index] += 1
            self._context += self._prompt[index]
            rest = self._load.outputs[index] - self._produced[index]
            if rest > 0:
                heapq.heappush(self._decoding, (self._step + rest, index))
            else:
                self._end_request(index)

    def _end_request(self, index: int) -> None:
        held = self._prompt[index] + self._load.outputs[index] - self._absorbed[index] - 1
        self._context -= held
        self._computed[index] = held
        self._ending.append(index)
        del self._order[index]

    def _release(self, now: float) -> None:
        """Tokens of the last step come out: a request that ends frees its cache, and a closed loop sends the next."""
        for index in self._starting:
            self._first[index] = now
        for index in self._ending:
            self._last[index] = now
            self._used -= self._computed[index]
            self._done += 1
            if self._load.arrivals_ms is None and self._sent < len(self._load.prompts):
                self._send(now)
        self._starting, self._ending = [], []


@lru_cache(maxsize=16)
def _jitter(deviation: float) -> tuple[float, ...]:
    """Factors of a log-normal distribution with median 1, each as likely, in an order that spreads them evenly."""
    bits = _JITTERS.bit_length() - 1
    order = [int(f"{index:0{bits}b}"[::-1], 2) for index in range(_JITTERS)]
    return tuple(math.exp(deviation * normal_quantile((place + 0.5) / _JITTERS)) for place in order)


def attended_within(before: int, chunk: int, window: int) -> int:
    """Positions that a chunk attends to where each token sees a window at most."""
    full = max(0, min(chunk, window - before))
    return full * before + full * (full + 1) // 2 + (chunk - full) * window
