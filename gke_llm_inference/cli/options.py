"""Every option that a subcommand may have, defined once, and what a shell completes it with."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from gke_llm_inference.errors import CommandError

DEFAULT_TIMEOUT = 120.0
"""Seconds that a program may take."""


def _stacks(ctx: typer.Context, incomplete: str) -> list[str]:
    from gke_llm_inference.cli.selection import directory_of
    from gke_llm_inference.pulumi_project.project import load_project, stacks_of

    try:
        names = stacks_of(load_project(directory_of(None, ctx.params.get("project_dir"))))
    except CommandError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def _matching(names: Callable[[], Iterator[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


def _models() -> Iterator[str]:
    from gke_llm_inference.catalog import load_catalog

    catalog = load_catalog()
    yield from catalog.models
    yield from catalog.checkpoints


def _accelerators() -> Iterator[str]:
    from gke_llm_inference.catalog import load_catalog

    yield from load_catalog().accelerators


def _regions() -> Iterator[str]:
    from gke_llm_inference.catalog import load_catalog

    yield from sorted({region for gpu in load_catalog().accelerators.values() for region in gpu.zones})


def _goals() -> Iterator[str]:
    from gke_llm_inference.catalog import load_catalog
    from gke_llm_inference.cli.draft import NO_GOAL, goals

    yield from (name for name in goals(load_catalog()) if name != NO_GOAL)


Stack = Annotated[
    str | None,
    typer.Option("--stack", metavar="NAME", help="The stack, whose file is Pulumi.NAME.yaml.", autocompletion=_stacks),
]
Stacks = Annotated[
    list[str] | None,
    typer.Option(
        "--stack", metavar="NAME", help="A stack; may be repeated (default: all of them).", autocompletion=_stacks
    ),
]
StrongStack = Annotated[
    str,
    typer.Option(
        "--stack", metavar="NAME", help="The stack that must be strong, such as prod.", autocompletion=_stacks
    ),
]
WeakStack = Annotated[
    str, typer.Option("--at-least", metavar="OTHER", help="The stack to hold it against.", autocompletion=_stacks)
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config-file", metavar="FILE", help="A stack file anywhere; --stack may give it another name."),
]
ProjectDirectory = Annotated[
    Path | None,
    typer.Option(
        "--project-dir", metavar="DIR", help="The project (default: the nearest Pulumi.yaml from here upward)."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Flows = Annotated[
    bool, typer.Option("--flows", help="Show instead who may talk to the servers, and whom they may talk to.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Ask Google nothing; print the quota that the stack needs.")]
Deployed = Annotated[
    bool, typer.Option("--deployed", help="The stack runs already: its own GPUs are among those in use.")
]
Record = Annotated[
    bool, typer.Option("--record", help="Ask the registries and write the digests into the stack's file.")
]
RecordCommits = Annotated[
    bool, typer.Option("--record", help="Ask Hugging Face and write the commits into the stack's file.")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write resources.json and manifests/ into this directory.")
]
ReportOut = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write comment.md, report.txt and report.json there.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="Stop a program that takes longer.", show_default=True)
]
CheckPolicies = Annotated[bool, typer.Option("--policy", help="Check the policies of the stack's environment too.")]
PolicyConfig = Annotated[
    Path | None,
    typer.Option(
        "--policy-config",
        metavar="FILE",
        help="Levels and settings over the environment's, as for Pulumi's --policy-pack-config.",
    ),
]
Base = Annotated[
    str | None, typer.Option("--base", metavar="REF", help="The git revision to compare with (default: HEAD).")
]
BaseDirectory = Annotated[
    Path | None, typer.Option("--base-dir", metavar="DIR", help="Another copy of the project to compare with.")
]
Format = Annotated[Literal["text", "markdown", "json"], typer.Option("--format", help="What to print.")]
OneServer = Annotated[str | None, typer.Option("--server", metavar="NAME", help="Only this server of the stack.")]
Origin = Annotated[bool, typer.Option("--origin", help="Say for each value which file it is from.")]
Accelerator = Annotated[
    str,
    typer.Option(
        "--accelerator",
        metavar="TYPE",
        help="The GPU, as GKE names it.",
        autocompletion=_matching(_accelerators),
        show_default=True,
    ),
]
Count = Annotated[
    int, typer.Option("--count", metavar="N", help="How many of them, on one machine.", show_default=True)
]
AnyCount = Annotated[
    int | None, typer.Option("--count", metavar="N", help="How many of them (default: as the goal chooses, or 1).")
]
Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        metavar="MODE",
        help="Mode of the GKE cluster: autopilot or standard.",
        autocompletion=_matching(lambda: iter(("autopilot", "standard"))),
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="REGION", help="Its region, such as us-central1.", autocompletion=_matching(_regions)
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="ID", help="The model, by its Hugging Face id.", autocompletion=_matching(_models)),
]
Goal = Annotated[
    str | None,
    typer.Option(
        "--goal",
        metavar="GOAL",
        help="What to optimize for: cost, latency, throughput, or none.",
        autocompletion=_matching(_goals),
    ),
]
Server = Annotated[Literal["vllm", "tgi"], typer.Option("--server", help="The inference server.", show_default=True)]
ServerSetting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting of the server, such as maxModelLen=4096; repeatable."),
]
GoogleProject = Annotated[
    str | None, typer.Option("--gcp-project", metavar="ID", help="The Google Cloud project (default: my-project).")
]
Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the new stack (default: dev).")]
Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="The file to write (default: Pulumi.NAME.yaml).")
]
NewProject = Annotated[
    str | None,
    typer.Option(
        "--project", metavar="NAME", help="Also make a Pulumi project: Pulumi.yaml, __main__.py, requirements.txt."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
ServedModel = Annotated[
    str, typer.Option("--model", metavar="ID", help="A model of the catalog.", autocompletion=_matching(_models))
]
BestOfModels = Annotated[
    bool, typer.Option("--best", help="For each model what serves it for the least, and what answers soonest.")
]
OneModel = Annotated[
    str | None,
    typer.Option("--model", metavar="ID", help="With --best, this model alone.", autocompletion=_matching(_models)),
]
Gpus = Annotated[
    str | None,
    typer.Option("--gpus", metavar="TYPE,…", help="GPUs to choose from (default: all whose speed is known)."),
]
WorkloadProfile = Annotated[
    str | None,
    typer.Option(
        "--workload",
        metavar="PROFILE",
        help="chat, code, rag, summarisation or agents (default: chat).",
    ),
]
InputTokens = Annotated[int | None, typer.Option("--input", metavar="N", help="Prompt tokens of every request.")]
OutputTokens = Annotated[int | None, typer.Option("--output", metavar="N", help="Answer tokens of every request.")]
Rate = Annotated[
    float | None, typer.Option("--rate", metavar="R", help="Requests a second (default: by the price of a token).")
]
Concurrency = Annotated[
    int | None, typer.Option("--concurrency", metavar="N", help="Requests in flight at any time, in place of --rate.")
]
SearchedGoal = Annotated[
    Literal["cost", "latency", "objectives", "throughput"] | None,
    typer.Option("--goal", help="What to choose by (default: the cost, within the objectives)."),
]
Spot = Annotated[bool, typer.Option("--spot", help="On Spot VMs, at their price.")]
TtftP95 = Annotated[
    float | None, typer.Option("--ttft-p95", metavar="MS", help="Most milliseconds to the first token, for 95 of 100.")
]
TpotP95 = Annotated[
    float | None, typer.Option("--tpot-p95", metavar="MS", help="Most milliseconds per further token, likewise.")
]
PricedRegion = Annotated[
    str,
    typer.Option(
        "--region", metavar="REGION", help="Where it runs.", autocompletion=_matching(_regions), show_default=True
    ),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw latency and cost into this file, such as out.svg.")
]
