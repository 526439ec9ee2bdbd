"""`python -m local.gke start|stop|status|capacity|reset [--directory DIR] [--profile PROFILE] [--speed N]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.errors import CommandError
from local.gke.cluster import DEFAULT_SPEED, Condition, LocalGke, Running
from local.gke.errors import DamagedError, explained
from local.gke.usage import report

DEFAULT_DIRECTORY = Path(__file__).resolve().parents[2] / ".local-gke"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 fine, 1 it failed or nothing runs, 2 usage, 130 interrupted."""
    options = _parser().parse_args(arguments)
    cluster = LocalGke(options.directory)
    try:
        match options.command:
            case "start":
                print(_text(cluster.start(options.profile, speed=options.speed, progress=_tell)))
            case "status":
                condition = cluster.condition()
                print(_text(condition.running) if condition.running else _troubles(condition, cluster.directory))
                print("\n".join(_capacity(cluster)))
                return 0 if condition.running else 1
            case "capacity":
                cluster.set_stock(cluster.stock.changed(options.stock))
                print("\n".join(_capacity(cluster)))
            case "stop":
                cluster.stop()
            case "reset":
                cluster.reset()
    except DamagedError as error:
        print(f"{error}\n  fix: a reset removes the instance with all that it holds", file=sys.stderr)
        return 1
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(explained(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _text(running: Running) -> str:
    memory = [process.memory_mib for process in running.processes]
    total = f", {sum(one or 0 for one in memory):.0f} MiB" if all(memory) else ""
    return "\n".join(
        [
            f"server      {running.server}",
            f"profile     {running.profile}",
            f"speed       {running.speed:g} simulated seconds a second",
            f"processes   {len(running.processes)}{total}",
            f"kubeconfig  {running.kubeconfig}",
            f"try         kubectl --kubeconfig {running.kubeconfig} get nodes",
        ]
    )


def _capacity(cluster: LocalGke) -> list[str]:
    """What Google has, and what the machines with GPUs have cost so far."""
    stock = [f"{words}={number}" for words, number in cluster.stock.limits.items()]
    used = report(cluster.usage.lines(load_catalog()))
    return [
        f"stock       {' '.join(stock) or 'as many machines as anybody wants'}",
        *(f"{'used' if number == 0 else '':<12}{line}" for number, line in enumerate(used)),
    ]


def _troubles(condition: Condition, directory: Path) -> str:
    if not condition.alive:
        return f"no cluster runs in {directory}"
    problems = map(str, condition.troubles) if condition.troubles else ("its start has not come to its end",)
    return "\n".join([f"the cluster in {directory} does not work; another start mends it:", *problems])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.gke", description="A simulated GKE on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("start", "start it, or find it running"),
        ("stop", "end its processes; what it holds stays"),
        ("status", "say what runs"),
        ("capacity", "say or change which machines Google has, and say what those with GPUs have cost"),
        ("reset", "end its processes and remove its directory"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--directory", type=Path, default=DEFAULT_DIRECTORY, help="where its state is")
        if name == "start":
            command.add_argument("--profile", choices=("standard", "autopilot"), default="standard")
            command.add_argument("--speed", type=float, default=DEFAULT_SPEED, help="simulated seconds in one second")
        if name == "capacity":
            command.add_argument(
                "stock",
                nargs="*",
                metavar="WORDS=NUMBER",
                help="such as spot=0, onDemand/g2-standard-8=2, reservation/l4-res=1; the number any lifts a bound",
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
