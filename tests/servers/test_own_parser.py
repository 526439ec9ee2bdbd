"""Where vLLM itself can be imported, its own parser takes what the presets give; elsewhere this is skipped.

Install the version to test beside the project, as in `pip install vllm==0.26.0`, which brings torch along.
"""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.versions import neighboring_versions
from tests.planning.support import CATALOG
from tools.preset_reference import cell


def own_parser() -> Any:
    """The parser of `vllm serve` of the installed package."""
    arguments = pytest.importorskip(
        "vllm.entrypoints.openai.cli_args", reason="vLLM is not installed", exc_type=ImportError
    )
    for name in ("vllm.utils.argparse_utils", "vllm.utils"):
        try:
            parser_class = importlib.import_module(name).FlexibleArgumentParser
        except (ImportError, AttributeError):
            continue
        return arguments.make_arg_parser(parser_class())
    pytest.fail("the installed vLLM keeps its parser in a place that is not known here")


@pytest.mark.parametrize("preset", load_catalog().presets)
def test_the_servers_own_parser_takes_the_arguments_of_a_preset(preset: str) -> None:
    parser = own_parser()
    installed = importlib.import_module("vllm").__version__.partition("+")[0]
    (version, *_) = neighboring_versions(installed, CATALOG.servers["vllm"])
    one = cell(preset, "vllm", version, CATALOG)
    _, unknown = parser.parse_known_args([text for text in one.arguments if text.startswith("-")])
    assert unknown == []
