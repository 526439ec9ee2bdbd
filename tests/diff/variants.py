"""A program that runs the real one once for every change of the corpus, each below a root of its own.

One process for all of them: what takes long is Pulumi's start, not the program.
"""

import asyncio
import importlib
import json
import runpy
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pulumi
from pulumi.runtime import settings

import components
from components import settle
from tests.diff.corpus import BASES, CASES, Case

MAIN = Path(components.__file__).parents[1] / "__main__.py"


class Variant(pulumi.ComponentResource):
    """The root of one change's resources; its type tells them from the others'."""


def run(number: int, case: Case) -> None:
    """Runs the real program with the configuration and code of a change."""
    values = {f"gke-llm-inference:{key}": json.dumps(value) for key, value in case.config.items()}
    pulumi.runtime.set_all_config({"gcp:project": "my-project", **values}, [])
    root = Variant(f"test:index:Variant{number}", f"variant-{number}")
    stack = settings.get_root_resource()
    assert stack is not None
    settings.set_root_resource(root)
    try:
        with ExitStack() as patches:
            for place, value in case.code.items():
                module, _, attribute = place.partition(":")
                patches.enter_context(mock.patch.object(importlib.import_module(module), attribute, value))
            patches.enter_context(mock.patch.object(pulumi, "run"))
            patches.enter_context(mock.patch.object(pulumi, "export"))
            patches.enter_context(mock.patch.object(pulumi.log, "warn"))
            patches.enter_context(mock.patch.object(pulumi.log, "info"))
            runpy.run_path(str(MAIN), run_name="__main__")
    finally:
        settings.set_root_resource(stack)


async def main() -> None:
    """Runs the bases and every change."""
    for number, case in enumerate([*map(Case, BASES), *CASES.values()]):
        run(number, case)
        await asyncio.sleep(0)
    await settle()


pulumi.run(main)
