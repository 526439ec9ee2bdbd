"""Prices are held against answers of Google's API in their documented form, and the key is kept."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from gke_llm_inference.catalog import load_catalog
from tests.http_server import served
from tools.check_prices import COMPUTE_ENGINE, KEY_VARIABLE, PriceError, asked, main, prices_of

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "not-to-be-shown"
REGION = "us-central1"


def sku(description: str, group: str, usd: float, *, usage: str = "OnDemand", unit: str = "h", **other: Any) -> Any:
    """A SKU in the form of the API's reference."""
    return {
        "name": f"{COMPUTE_ENGINE}/skus/02EE-77CE-ACCD",
        "skuId": "02EE-77CE-ACCD",
        "description": description,
        "category": {
            "serviceDisplayName": "Compute Engine",
            "resourceFamily": "Compute",
            "resourceGroup": group,
            "usageType": usage,
        },
        "serviceRegions": [REGION],
        "pricingInfo": [
            {
                "summary": "",
                "pricingExpression": {
                    "usageUnit": unit,
                    "usageUnitDescription": "hour",
                    "baseUnit": "s",
                    "baseUnitDescription": "second",
                    "baseUnitConversionFactor": 3600,
                    "displayQuantity": 1,
                    "tieredRates": [
                        {
                            "startUsageAmount": 0,
                            "unitPrice": {
                                "currencyCode": "USD",
                                "units": str(int(usd)),
                                "nanos": round((usd - int(usd)) * 10**9),
                            },
                        }
                    ],
                },
                "currencyConversionRate": 1,
                "effectiveTime": "2026-11-26T10:50:40.206Z",
            }
        ],
        "serviceProviderName": "Google",
        **other,
    }


def g2(gpu: float = 0.56004, core: float = 0.024988, ram: float = 0.0029275, spot_gpu: float = 0.3359) -> list[Any]:
    """What a G2 machine consists of: 0.036698 USD for a vCPU with 4 GiB."""
    spot = {"usage": "Preemptible"}
    return [
        sku("Nvidia L4 GPU running in Americas", "GPU", gpu),
        sku("G2 Instance Core running in Americas", "CPU", core),
        sku("G2 Instance Ram running in Americas", "RAM", ram, unit="GiBy.h"),
        sku("Nvidia L4 GPU attached to Spot Preemptible VMs running in Americas", "GPU", spot_gpu, **spot),
        sku("Spot Preemptible G2 Instance Core running in Americas", "CPU", 0.014994, **spot),
        sku("Spot Preemptible G2 Instance Ram running in Americas", "RAM", 0.001755, **spot, unit="GiBy.h"),
        sku("Commitment v1: Nvidia L4 GPU running in Americas for 1 Year", "GPU", 0.3528, usage="Commit1Yr"),
        sku("Nvidia L4 GPU running in Tokyo", "GPU", 9.9, serviceRegions=["asia-northeast1"]),
        sku("Nvidia L4 GPU reserved for others running in Americas", "GPU", 8.8),
    ]


def lines_of(skus: list[Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    main(["--region", REGION], lambda _: {"skus": skus, "nextPageToken": ""})
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("g2-")]


def test_prices_that_agree_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of(g2(), capsys) == []


def test_a_price_that_changed_is_shown_for_every_machine_of_the_family(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(g2(gpu=0.6), capsys)
    g2_machines = {name for name in load_catalog().machine_types if name.startswith("g2-")}
    assert {line.split(" ")[0] for line in lines} == g2_machines
    assert "g2-standard-8 in us-central1, on demand: 0.8536 in the catalog, 0.8936 in the API" in lines
    assert "g2-standard-24 in us-central1, on demand: 2.0008 in the catalog, 2.0808 in the API" in lines


def test_spot_is_compared_with_spot(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(g2(spot_gpu=0.4), capsys)
    assert "g2-standard-4 in us-central1, Spot: 0.4240 in the catalog, 0.4881 in the API" in lines
    assert not [line for line in lines if "on demand" in line]


def test_a_part_without_a_price_or_with_two_leaves_the_machine_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    unpriced = "g2-standard-8 in us-central1, on demand: 0.8536 in the catalog, no price in the API"
    assert unpriced in lines_of([one for one in g2() if "Ram" not in one["description"]], capsys)
    assert unpriced in lines_of([*g2(), sku("G2 Instance Core running in Iowa", "CPU", 0.5)], capsys)


def test_an_a100_of_40_is_not_one_of_80(capsys: pytest.CaptureFixture[str]) -> None:
    skus = [
        sku("Nvidia Tesla A100 GPU running in Americas", "GPU", 2.933908),
        sku("Nvidia Tesla A100 80GB GPU running in Americas", "GPU", 3.9),
        sku("A2 Instance Core running in Americas", "CPU", 0.031611),
        sku("A2 Instance Ram running in Americas", "RAM", 0.004237, unit="GiBy.h"),
    ]
    main(["--region", REGION], lambda _: {"skus": skus})
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if line.startswith("a2-highgpu-1g in us-central1, on demand")]
    assert "a2-ultragpu-1g in us-central1, on demand: 5.0688 in the catalog, no price in the API" in lines


class Api(BaseHTTPRequestHandler):
    """The Cloud Billing Catalog API with two pages."""

    asked: ClassVar[list[tuple[str, str | None]]] = []
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        type(self).asked.append((self.path, self.headers.get("X-Goog-Api-Key")))
        last = "pageToken" in self.path
        page: dict[str, Any] = {"skus": g2()[3:] if last else g2()[:3], "nextPageToken": "" if last else "next"}
        content = json.dumps(page if self.status == 200 else {"error": {"message": KEY}}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Says nothing."""


@pytest.fixture
def api() -> Iterator[str]:
    Api.asked.clear()
    Api.status = 200
    with served(HTTPServer(("127.0.0.1", 0), Api)) as address:
        yield f"http://{address}/v1"


def test_every_page_is_read_and_the_key_is_in_a_header_alone(api: str) -> None:
    found = list(prices_of(asked(KEY, api)))
    assert len(found) == len(g2())
    assert found[0].usd == pytest.approx(0.56004)
    assert [path for path, _ in Api.asked] == [
        f"/v1/{COMPUTE_ENGINE}/skus?pageSize=5000&currencyCode=USD",
        f"/v1/{COMPUTE_ENGINE}/skus?pageSize=5000&currencyCode=USD&pageToken=next",
    ]
    assert {key for _, key in Api.asked} == {KEY}


def test_a_refusal_shows_no_key(api: str) -> None:
    Api.status = 403
    with pytest.raises(PriceError) as refused:
        list(prices_of(asked(KEY, api)))
    assert str(refused.value) == "the Cloud Billing API answers 403; is it enabled for your key?"
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "broken",
    [
        {"skus": [{"description": "G2 Instance Core running in Americas"}]},
        {"skus": [sku("G2 Instance Core", "CPU", 1.0, pricingInfo=[{"pricingExpression": {}}])]},
        {"skus": [sku("G2 Instance Core", "CPU", 1.0, category=None)]},
        {"skus": "none"},
    ],
)
def test_an_answer_of_another_form_is_said_to_be_one(broken: Any) -> None:
    with pytest.raises(PriceError, match="does not have the documented form"):
        list(prices_of(lambda _: broken))


def test_pages_without_end_are_not_read_for_ever() -> None:
    with pytest.raises(PriceError, match="more than 100 pages"):
        list(prices_of(lambda _: {"skus": [], "nextPageToken": "again"}))


def test_without_a_key_it_says_where_to_put_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert main(["--region", REGION]) == 2
    assert KEY_VARIABLE in capsys.readouterr().err
