"""The page on the guide's checklist: every point is decided, with the planner's numbers and names that exist."""

from __future__ import annotations

import re

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.settings import Refusal
from tests.support import REPOSITORY
from tools.guide_checklist import fewest, page
from tools.preset_effects import reference
from tools.preset_effects_page import usd
from tools.reference_servers import MODEL, kv_tokens, planned_server, price

pytestmark = pytest.mark.searches

L4 = "nvidia-l4"
TITLES = [
    ("Latency", "Prioritize powerful GPUs"),
    ("Latency", "Quantize for latency"),
    ("Throughput", "Scale out"),
    ("Throughput", "Share large models over GPUs, small ones not"),
    ("Throughput", "Batch, and quantize as far as accuracy allows"),
    ("Cost efficiency", "Choose a smaller model of the family"),
    ("Cost efficiency", "Quantize for cost"),
    ("Cost efficiency", "Limit the context"),
    ("Beside the checklist", "Quantize while loading"),
    ("Beside the checklist", "Quantize the KV cache"),
    ("Beside the checklist", "Use paged and flash attention"),
]


@pytest.fixture(scope="module")
def document() -> str:
    return (REPOSITORY / "docs" / "guide-checklist.md").read_text(encoding="utf-8")


def part(document: str, title: str) -> str:
    return document.partition(f"\n### {title}\n")[2].partition("\n### ")[0]


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_document_is_the_one_that_is_generated(document: str) -> None:
    assert document == page()


def test_the_points_are_those_of_the_guide_and_each_is_decided(document: str) -> None:
    found, goal = [], ""
    for mark, heading in re.findall(r"^(##|###) (.+)$", document, re.MULTILINE):
        if mark == "##":
            goal = heading
        else:
            found.append((goal, heading))
    assert found == TITLES
    for _, title in TITLES:
        section = part(document, title)
        for label in ("Decision", "Number", "Shown", "Override"):
            assert section.count(f"* **{label}**:") == 1


def test_the_overview_leads_to_every_point(document: str) -> None:
    links = re.findall(r"^\| [^|]+ \| \[([^]]+)\]\(#([a-z0-9-]+)\) \|", document, re.MULTILINE)
    assert [title for title, _ in links] == [title for _, title in TITLES]
    assert links[3][1] == "share-large-models-over-gpus-small-ones-not"


def test_numbers_of_memory_are_exact(document: str) -> None:
    assert "| `fp8` | " in (load := part(document, "Quantize while loading"))
    assert "87,312 (×2.56)" in load
    assert "an L4 holds 68,272 tokens instead of 34,128" in words(part(document, "Quantize the KV cache"))
    assert (
        "with its own 131,072 tokens the model takes 2 L4 (2.00 USD an hour), with up to 34,128 one (0.85)."
        in words(part(document, "Limit the context"))
    )
    assert "Llama 2 13B takes 2 L4 in bf16 and 1 with GPTQ: 2.00 and 0.85 USD an hour." in words(
        part(document, "Quantize for cost")
    )


def test_measured_numbers_are_exact(document: str) -> None:
    assert "FP8 makes ×1.29 of the tokens of bf16 and 4 bits ×0.78." in words(part(document, TITLES[4][1]))
    assert "4 bits take ×0.55 of a step's time with one request" in words(part(document, "Quantize for latency"))
    assert "×1.09 with one request and ×1.08 with 256" in words(part(document, "Quantize the KV cache"))


def test_predicted_prices_are_those_of_the_function(document: str) -> None:
    assert f"| `{L4}` | {usd(price(reference(L4)))} | " in part(document, "Quantize for cost")


def test_what_is_sold_as_the_fewest_gpus_is_refused_with_fewer() -> None:
    server = fewest("meta-llama/Llama-2-13b-hf", 4096)
    assert (server.gpus, server.plan.verdict) == (2, "fits")
    with pytest.raises(Refusal):
        planned_server(model="meta-llama/Llama-2-13b-hf", maxModelLen=4096, accelerator={"type": L4, "count": 1})


def test_the_longest_context_of_the_page_starts_and_one_more_token_does_not() -> None:
    longest = reference(L4).plan.largest_context
    limits = {"maxNumSeqs": 256, "maxNumBatchedTokens": 2048, "accelerator": {"type": L4}}
    server = planned_server(**limits, maxModelLen=longest)
    assert server.plan.starts
    assert kv_tokens(server) == longest
    with pytest.raises(Refusal):
        planned_server(**limits, maxModelLen=longest + 1)


def test_a_model_that_no_number_of_gpus_holds_is_refused() -> None:
    with pytest.raises(Refusal):
        fewest("meta-llama/Llama-3.1-70B-Instruct", 131_072)


@pytest.mark.parametrize("title", [title for _, title in TITLES])
def test_what_a_point_names_exists(document: str, title: str) -> None:
    text = words(part(document, title).partition("\n|")[0])
    for listed in re.findall(r"\[([a-z0-9-]+)\]`", text):
        assert listed in load_catalog().presets
    for key in re.findall(r"`([a-z]+[A-Z][A-Za-z]*)`", text):
        assert f'"{key}"' in (REPOSITORY / "schemas" / "stack.schema.json").read_text(encoding="utf-8")
    for model in re.findall(r"--model ([^ `]+)", text):
        assert model in (MODEL, "MODEL")
    for command in re.findall(r"`gke-llm-inference ([a-z]+)", text):
        assert f"| `{command}` |" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\(([a-z-]+\.md)#([a-z-]+)\)", text):
        headings = (REPOSITORY / "docs" / link).read_text(encoding="utf-8").lower()
        assert re.search(rf"^#+ {anchor.replace('-', '[ -]')}$", headings, re.MULTILINE)


def test_the_page_is_listed() -> None:
    for name, link in (("README.md", "docs/guide-checklist.md"), ("docs/presets.md", "guide-checklist.md")):
        assert f"[{link}]({link})" in (REPOSITORY / name).read_text(encoding="utf-8")
