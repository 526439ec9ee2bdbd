"""Runs the real program as a deployment against the engine of `engine.py`; a JSON object on stdin says how."""

import asyncio
import json
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor

import pulumi

task = json.load(sys.stdin)
sys.path.insert(0, task["root"])
pulumi.runtime.configure(
    pulumi.runtime.Settings(
        project=task["project"],
        stack=task["stack"],
        root_directory=task["root"],
        parallel=8,
        dry_run=False,
        monitor=task["address"],
        engine=task["address"],
        organization="organization",
    )
)
pulumi.runtime.set_all_config(task["config"], task["secretKeys"])
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.set_default_executor(ThreadPoolExecutor(max_workers=32))


def run() -> None:
    """Runs the program."""
    runpy.run_path(f"{task['root']}/__main__.py", run_name="__main__")


try:
    loop.run_until_complete(pulumi.runtime.run_in_stack(run))
except pulumi.RunError as error:
    pulumi.log.error(str(error))
    sys.exit(32)
