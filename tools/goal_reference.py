"""What goals do, as the page on presets tells it."""

from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.preset_facts import Goal
from gke_llm_inference.planning.optimization import BEARABLE
from gke_llm_inference.planning.optimization.search import LATENCY_BUDGET
from gke_llm_inference.planning.optimization.told import RUNNERS_UP

_GOALS = """
A goal searches what the stack leaves open: the GPU (where `accelerator` is absent or a list) and how many,
weights at their own precision, in FP8 or of a known checkpoint, the KV cache's type, the context, `maxNumSeqs`,
`maxNumBatchedTokens`, and `replicas` where the `workload` states a load. It drops what memory, nodes and
version refuse, predicts the rest for the workload ([performance.md](performance.md)) and takes the best that
the whole planner passes. `plan` shows the choice, its settings, the next {runners_up}, and why each lost;
`diff` shows a choice that changes, with its reason.

* Without a `workload` it plans for the profile `chat`, and says so. Without `objectives`, up to {ttft:g} s to
  the first token and {tpot:g} ms per token at p95 count as served, except for `throughput`.
* What the stack states is never changed: GPUs, a technique, a limit. Other GPUs that would be better by more
  than the error band are advised.
* On a Standard cluster only GPUs of the stack's own node pools are chosen, on Autopilot those of the region,
  compared by the machines' list price. On a cluster whose nodes are not known it is the default GPU, or one of
  the list. Quota is not known offline and refuses nothing.
* Servers are decided on one by one, each as if it had the pools to itself, and placed together afterwards: where
  that takes more nodes than `maxNodes` the stack is refused, and one has to state its GPUs or `replicas`.
* Of what predictions cannot tell apart, the first by accuracy, fewer GPUs, the server's own limits and the
  machine's price wins: a small change of the load changes the choice only for a gain of more than the error
  band.
* `latency` takes GPUs that cost at most {budget:g} times the cheapest that serve the load, as every further GPU
  is faster by less and the dearest machine would always win; a list of GPUs lifts that.
* Of several goals the first decides, and the next among what it cannot tell apart.
* A checkpoint that a goal takes keeps the name that clients ask for, by vLLM's `servedModelName`.
* Where speed cannot be predicted, a goal takes the fewest GPUs that hold weights and context, and says so.
* To keep a choice, state its settings: `plan` lists them, and `optimize` writes them
  ([optimize.md](optimize.md)).
"""


def goal_lines(catalog: Catalog) -> Iterator[str]:
    """The lines of the section on goals, beneath its heading."""
    assert BEARABLE.ttft is not None
    assert BEARABLE.tpot is not None
    yield from (
        _GOALS.format(
            runners_up={3: "three"}[RUNNERS_UP],
            ttft=BEARABLE.ttft.milliseconds / 1000,
            tpot=BEARABLE.tpot.milliseconds,
            budget=LATENCY_BUDGET,
        )
        .rstrip()
        .split("\n")
    )
    for name, preset in catalog.presets.items():
        if isinstance(preset, Goal):
            yield from ("", f"### {name}", "", f"For {preset.summary}. Costs: {preset.costs}")
