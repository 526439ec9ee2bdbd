"""Error bands and the generated page."""

import json
from pathlib import Path
from typing import Any

import pytest

from gke_llm_inference.catalog.performance_facts import left_out_path
from gke_llm_inference.planning.performance.bands import Quantity, error_band
from tests.performance.support import EXPERTS, FACTS, H100, L4, architecture, request
from tools.performance_reference import page


def test_bands_are_wider_the_less_is_measured() -> None:
    for quantity in ("step_ms", "tpot_ms.p50", "output_tokens_per_second", "ttft_ms.p50"):
        widths = [FACTS.bands[basis][quantity] for basis in ("measured", "transferred", "estimated")]
        assert widths == sorted(widths)
        assert widths[2] > widths[0]


@pytest.mark.parametrize(
    ("changes", "basis"),
    [
        ({}, "measured"),
        ({"version": "0.26.1"}, "measured"),
        ({"version": "0.19.1"}, "transferred"),
        ({"weights_format": "ctw8a8"}, "transferred"),
        ({"weights_format": "bitsandbytes"}, "transferred"),
        ({"tensor_parallel": 2}, "estimated"),
        ({"server": "tgi", "version": "3.3.7"}, "estimated"),
        ({"architecture": architecture(experts=EXPERTS)}, "estimated"),
    ],
)
def test_a_prediction_rests_on_the_weakest_of_its_parts(changes: dict[str, Any], basis: str) -> None:
    assert error_band("step_ms", request(**changes), H100, FACTS).basis == basis


def test_an_l4_is_transferred() -> None:
    assert error_band("step_ms", request(), L4, FACTS).basis == "transferred"


@pytest.mark.parametrize("quantity", ["step_ms", "tpot_ms.p50", "output_tokens_per_second", "ttft_ms.p50"])
def test_predictions_are_surer_where_the_host_is_known(quantity: Quantity) -> None:
    unknown = error_band(quantity, request(), H100, FACTS).percent
    known = error_band(quantity, request(), H100, FACTS, launch_us=5.0).percent
    assert known == FACTS.bands["measured"][quantity]
    assert unknown == max(known, FACTS.unknown_host[quantity])


def test_the_first_token_is_the_hosts() -> None:
    unknown = error_band("ttft_ms.p50", request(), H100, FACTS).percent
    assert unknown > error_band("ttft_ms.p50", request(), H100, FACTS, launch_us=5.0).percent


def test_the_page_is_the_one_that_the_catalog_gives() -> None:
    text = (Path(__file__).parents[2] / "docs" / "performance.md").read_text("utf-8")
    assert text == page(), "run make generate"


def test_the_tails_of_latencies_have_wider_bands() -> None:
    band = error_band("ttft_ms.p50", request(), H100, FACTS, launch_us=5.0)
    tail = FACTS.tails["ttft_ms"]
    assert [band.at(p).percent for p in (50, 90, 99)] == pytest.approx(
        [band.percent, band.percent * tail.p90, band.percent * tail.p99]
    )
    assert band.at(70).percent == pytest.approx(band.percent * (1 + tail.p90) / 2)
    assert band.at(95).percent == pytest.approx(band.percent * (tail.p90 + (tail.p99 - tail.p90) * 5 / 9))
    assert band.at(99).at(99) == band.at(99), "a percentile's own band has no tail"


def test_throughput_has_no_tail() -> None:
    band = error_band("output_tokens_per_second", request(), H100, FACTS)
    assert band.at(99) == band


def test_nine_of_ten_tails_that_were_measured_are_within_their_bands() -> None:
    errors = [json.loads(line)["errors"] for line in left_out_path().read_text("utf-8").splitlines()]
    for name in ("ttft_ms", "tpot_ms"):
        width = FACTS.bands["transferred"][f"{name}.p50"] * FACTS.tails[name].p90
        found = [abs(one[f"{name}.p90"]) <= width for one in errors if f"{name}.p90" in one]
        assert len(found) > 100
        assert sum(found) >= 0.9 * len(found)
