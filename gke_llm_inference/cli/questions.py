"""Asks for what a new stack leaves open, and shows the plan as it becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gke_llm_inference.cli.draft import (
    MODES,
    NO_GOAL,
    PLACEHOLDER_PROJECT,
    checked_goal,
    checked_mode,
    checked_model,
    checked_region,
    goals,
    is_about_fit,
)
from gke_llm_inference.cli.plan_report import memory_bar
from gke_llm_inference.errors import UsageError
from gke_llm_inference.planning.cost import HOURS_PER_MONTH
from gke_llm_inference.planning.memory.result import floored
from gke_llm_inference.terminal import Look, console, printable, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from typing import TypeVar

    from gke_llm_inference.catalog import Catalog
    from gke_llm_inference.cli.draft import Draft, Outcome
    from gke_llm_inference.planning.plan import StackPlan

    T = TypeVar("T")

_PROPOSALS = 6
_DEFAULT_REGION = "us-central1"
_DEFAULT_GOAL = "cost"
_DEFAULT_MODEL = "Qwen/Qwen2.5-7B-Instruct"


class Interview:
    """Questions about one stack.

    Args:
        plan: what becomes of a draft.
        catalog: the facts to choose from.

    """

    def __init__(self, plan: Callable[[Draft], Outcome], catalog: Catalog) -> None:
        self._plan = plan
        self._catalog = catalog
        self._console = console()
        self._look = Look.of(self._console.file)  # type: ignore[arg-type]
        self._shown: list[tuple[str, str]] = []
        self._given: Draft | None = None

    def complete(self, draft: Draft, missing: Collection[str]) -> Draft:
        """The draft with an answer for everything that is missing, changed until it fits.

        Raises:
            Refusal: something else is wrong with it.

        """
        catalog, self._given = self._catalog, draft
        if "mode" in missing:
            self._say("autopilot: Google makes nodes as they are needed. standard: a GPU node pool of your own.")
            draft = self._updated(replace(draft, mode=self._ask("Mode", checked_mode, MODES, MODES[0])))
        if "region" in missing:
            regions = sorted(catalog.accelerators[draft.accelerator].zones)
            self._say(f"Regions with {draft.accelerator}: {', '.join(regions)}.")
            default = _DEFAULT_REGION if _DEFAULT_REGION in regions else regions[0]
            region = self._ask(
                "Region", lambda text: checked_region(text, draft.accelerator, catalog), regions, default
            )
            draft = self._updated(replace(draft, region=region))
        if "gcp_project" in missing:
            self._say(f"{PLACEHOLDER_PROJECT} stands for your Google Cloud project until you set it.")
            draft = replace(draft, gcp_project=self._google_project(draft))
        if "model" in missing:
            self._list_models()
            draft = self._updated(replace(draft, model=self._model()))
        if "goal" in missing:
            self._say(f"A goal chooses techniques and GPUs; {NO_GOAL} leaves all to you.")
            draft = self._updated(replace(draft, goal=self._goal()))
        while (outcome := self._plan(draft)).refusal is not None:
            draft = self._updated(self._instead(draft, outcome))
        self._show(outcome)
        return draft

    def _instead(self, draft: Draft, outcome: Outcome) -> Draft:
        """The draft after a change that was chosen from what would fit, or with another model.

        Raises:
            Refusal: something else is wrong, which no change proposed here mends.

        """
        assert outcome.refusal is not None
        if not any(map(is_about_fit, outcome.refusal.problems)):
            raise outcome.refusal
        for problem in outcome.refusal.problems:
            self._say(f"{problem.path}: {problem.what}: {problem.why}.")
        proposed = outcome.alternatives[:_PROPOSALS]
        if not proposed:
            self._say("None of the changes in the catalog makes it fit.")
            return replace(draft, model=self._model())
        self._say("What fits:")
        for number, one in enumerate(proposed, start=1):
            planned = self._plan(draft.changed(one)).plan
            price = f", {_cost(planned, self._catalog)}" if planned is not None else ""
            self._print(wrapped(f"{one.what}: {one.plan.verdict}{price}", f"  {number}  ", "     "))

        def chosen(text: str) -> Draft:
            if text.isdecimal():
                if not 1 <= int(text) <= len(proposed):
                    raise UsageError(f"use a number from 1 to {len(proposed)}, or name a model")
                return draft.changed(proposed[int(text) - 1])
            model = checked_model(text, self._catalog)
            # What was changed for the former model means nothing to another.
            given = self._given or draft
            return replace(draft, model=model, changes=given.changes, accelerator=given.accelerator, count=given.count)

        return self._ask("Number of a change, or another model", chosen, list(self._catalog.models), "1")

    def _google_project(self, draft: Draft) -> str:
        def checked(text: str) -> str:
            refusal = self._plan(replace(draft, model=_DEFAULT_MODEL, changes={}, gcp_project=text)).refusal
            for problem in refusal.problems if refusal is not None else ():
                if problem.path == "gcp:project":
                    raise UsageError(f"{text!r} {problem.what}: {problem.why}; {problem.fix}")
            return text

        return self._ask("Google Cloud project", checked, (), PLACEHOLDER_PROJECT)

    def _goal(self) -> str | None:
        catalog = self._catalog
        return self._ask("Goal", lambda text: checked_goal(text, catalog), goals(catalog), _DEFAULT_GOAL)

    def _model(self) -> str:
        known = [*self._catalog.models, *self._catalog.checkpoints]
        return self._ask("Model", lambda text: checked_model(text, self._catalog), known, _DEFAULT_MODEL)

    def _updated(self, draft: Draft) -> Draft:
        """The draft, after its plan was shown if it has changed."""
        if draft.model is not None:
            self._show(self._plan(draft))
        return draft

    def _show(self, outcome: Outcome) -> None:
        if outcome.plan is None:
            return
        rows = list(_rows(outcome.plan, self._catalog, self._look))
        if rows == self._shown:
            return
        self._shown = rows
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2, 0, 0))
        for label, value in rows:
            grid.add_row(label, Text(value, overflow="fold"))
        self._console.print(Panel(grid, title="Plan", title_align="left"))

    def _ask(self, question: str, check: Callable[[str], T], choices: Iterable[str], default: str) -> T:
        """The answer to a question, asked until it makes sense; Tab completes it from the choices."""
        with _completion(list(choices)):
            while True:
                text = input(f"{question} [{default}]: ").strip() or default
                try:
                    answer = check(text)
                except UsageError as error:
                    self._say(printable(str(error)))
                else:
                    self._console.print()
                    return answer

    def _list_models(self) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("model")
        table.add_column("GiB", justify="right")
        table.add_column("token")
        for name, model in self._catalog.models.items():
            if model.task != "generate":
                continue
            table.add_row(name, f"{model.weights_gib:.1f}", "needed" if model.gated else "")
        self._console.print(table)
        self._say("Their quantized checkpoints are known too.")

    def _say(self, text: str) -> None:
        self._print(wrapped(text))

    def _print(self, lines: list[str]) -> None:
        for line in lines:
            self._console.print(line, soft_wrap=True)


def _rows(plan: StackPlan, catalog: Catalog, look: Look) -> Iterator[tuple[str, str]]:
    """A server's plan in a few lines."""
    (server,) = plan.servers
    machine = f", {server.machine_type}" if server.machine_type else ""
    yield "server", f"{server.kind} {server.version}, {server.model}"
    yield "GPUs", f"{server.gpu_count} {look.times} {server.gpu_type}{machine}"
    if server.memory is not None:
        parts = server.memory.gib()
        yield "GPU memory", memory_bar(server.memory, look)
        yield "", f"{parts['usableGib']:.2f} of {parts['gpuMemoryGib']:.2f} GiB usable: {server.memory.verdict}"
        requests = floored(server.memory.state.max_concurrency)
        yield "context", f"{server.memory.limits.max_model_len:,} tokens, {requests} requests at once"
    yield "cost", _cost(plan, catalog)


def _cost(plan: StackPlan, catalog: Catalog) -> str:
    (server,) = plan.servers
    if server.machine_type is None:
        return "unknown"
    price, region = catalog.price(server.machine_type, plan.cluster.region)
    if price is None:
        return "unknown"
    least = "at least " if plan.cluster.profile == "autopilot" else ""
    return f"{least}{price.on_demand * HOURS_PER_MONTH:,.0f} USD a month ({region}, {catalog.prices.date})"


class _completion:  # noqa: N801 - reads like a function
    """Completes what is typed from some choices, where there is readline."""

    def __init__(self, choices: list[str]) -> None:
        self._choices = choices

    def __enter__(self) -> None:
        try:
            import readline
        except ImportError:
            return
        readline.set_completer_delims("")
        readline.set_completer(self._complete)
        readline.parse_and_bind("tab: complete")

    def __exit__(self, *exception: object) -> None:
        try:
            import readline
        except ImportError:
            return
        readline.set_completer(None)

    def _complete(self, text: str, state: int) -> str | None:
        matching = [choice for choice in self._choices if choice.casefold().startswith(text.casefold())]
        return matching[state] if state < len(matching) else None
