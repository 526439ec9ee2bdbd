"""`python -m tools.check_prices --region R`: where prices.yaml differs from Google's Cloud Billing Catalog API.

The key is read from the environment variable CLOUD_BILLING_API_KEY alone, sent in a header and never shown. Nothing is
written: the difference is printed, to be reviewed and typed with its date. The exit code is 1 where there is one.
"""

import argparse
import http.client
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.catalog.facts import MachineType, machine_family
from gke_llm_inference.catalog.files import read

KEY_VARIABLE = "CLOUD_BILLING_API_KEY"
COMPUTE_ENGINE = "services/6F81-5844-456A"
"""Compute Engine's name in the API."""
_ADDRESS = "https://cloudbilling.googleapis.com/v1"
_SECONDS = 60
_MOST_PAGES = 100
_MOST_BYTES = 64 << 20
_HOURS_PER_MONTH = 730
_TOLERANCE = 0.0005
"""USD per hour by which a price may differ: those of the catalog are rounded."""

Page = Callable[[str], Mapping[str, Any]]
"""Answers the page of SKUs with a token; the first page has none."""


class PriceError(Exception):
    """The prices cannot be read. Its text is safe to print."""


@dataclass(frozen=True)
class Price:
    """A price of the API.

    Attributes:
        description: the SKU's.
        usage: OnDemand, Preemptible, Commit1Yr or Commit3Yr.
        group: what the SKU is of, such as GPU, CPU or RAM.
        regions: where it holds.
        usd: per unit, of the first units that are not free.
        unit: unit of usage, such as h, GiBy.h or GiBy.mo.

    """

    description: str
    usage: str
    group: str
    regions: tuple[str, ...]
    usd: float
    unit: str


@dataclass(frozen=True)
class Difference:
    """A machine's price in the catalog beside that of the API, in USD per hour; None where there is none."""

    machine: str
    region: str
    kind: str
    catalog: float | None
    api: float | None

    def __str__(self) -> str:
        """One line."""
        own = "no price" if self.catalog is None else f"{self.catalog:.4f}"
        found = "no price" if self.api is None else f"{self.api:.4f}"
        return f"{self.machine} in {self.region}, {self.kind}: {own} in the catalog, {found} in the API"


def asked(key: str, address: str = _ADDRESS) -> Page:
    """Asks the API for pages of Compute Engine's SKUs.

    Args:
        key: an API key of the user's own project.
        address: where the API answers.

    """

    def page(token: str) -> Mapping[str, Any]:
        query = {"pageSize": "5000", "currencyCode": "USD", **({"pageToken": token} if token else {})}
        url = f"{address}/{COMPUTE_ENGINE}/skus?{urllib.parse.urlencode(query)}"
        # In a header, so that it stands in no address, log or error.
        request = urllib.request.Request(url, headers={"X-Goog-Api-Key": key})  # noqa: S310 the address is ours
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                found: Mapping[str, Any] = json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            raise PriceError(f"the Cloud Billing API answers {error.code}; is it enabled for your key?") from None
        except (OSError, http.client.HTTPException, ValueError):
            raise PriceError("the Cloud Billing API does not answer in its form") from None
        return found

    return page


def prices_of(page: Page) -> Iterator[Price]:
    """Every price of the API.

    Raises:
        PriceError: a page does not have the documented form, or there is no end of them.

    """
    token = ""
    for _ in range(_MOST_PAGES):
        found = page(token)
        try:
            for sku in found.get("skus", ()):
                yield from _prices(sku)
            token = found.get("nextPageToken", "")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            raise PriceError("a SKU does not have the documented form") from None
        if not token:
            return
    raise PriceError(f"more than {_MOST_PAGES} pages of SKUs")


def _prices(sku: Mapping[str, Any]) -> Iterator[Price]:
    if not sku["pricingInfo"]:
        return
    expression = sku["pricingInfo"][-1]["pricingExpression"]
    rates = [_usd(rate["unitPrice"]) for rate in expression["tieredRates"]]
    category = sku["category"]
    yield Price(
        description=sku["description"],
        usage=category["usageType"],
        group=category["resourceGroup"],
        regions=tuple(sku["serviceRegions"]),
        usd=next((rate for rate in rates if rate), 0.0),
        unit=expression["usageUnit"],
    )


def _usd(price: Mapping[str, Any]) -> float:
    """An amount of money of Google's APIs: whole units, as text, and billionths."""
    if price.get("currencyCode", "USD") != "USD":
        raise ValueError(price["currencyCode"])
    return int(price.get("units", 0) or 0) + int(price.get("nanos", 0)) / 10**9


class _Skus:
    """Finds the one price of a part of machines."""

    def __init__(self, prices: Iterable[Price], region: str) -> None:
        self._here = [price for price in prices if region in price.regions]

    def find(self, beginning: str, group: str, *, spot: bool) -> float | None:
        """USD per unit; None where no SKU or more than one price fits."""
        usage = "Preemptible" if spot else "OnDemand"
        found = {
            price.usd
            for price in self._here
            if price.usage == usage and price.group == group and _is_of(price.description, beginning)
        }
        return found.pop() if len(found) == 1 else None


def _is_of(description: str, beginning: str) -> bool:
    plain = description.removeprefix("Spot Preemptible ")
    rest = plain.removeprefix(beginning)
    return plain.startswith(beginning) and rest.split(" ")[1:2] in (["running"], ["attached"], ["Core"], ["Ram"])


def machine_price(
    name: str, machine: MachineType, skus: _Skus, known: Mapping[str, Any], *, spot: bool
) -> float | None:
    """USD per hour of a machine by the API; None where one of its parts has no price."""
    family = known["families"][machine_family(name)]
    gpu = skus.find(family["gpu"], "GPU", spot=spot)
    core, ram = (skus.find(family["part"], group, spot=spot) for group in ("CPU", "RAM"))
    gib: int = machine.gpus * family.get("localSsdGib", 0)
    ssd = skus.find(known["localSsd"], "LocalSSD", spot=spot) if gib else 0.0
    if gpu is None or core is None or ram is None or ssd is None:
        return None
    return machine.gpus * gpu + machine.vcpus * core + machine.memory_gib * ram + gib * ssd / _HOURS_PER_MONTH


def differences(catalog: Catalog, prices: Iterable[Price], region: str, known: Mapping[str, Any]) -> list[Difference]:
    """Where the catalog differs in a region, sorted by machine: other prices, and those that only one of them has."""
    skus = _Skus(prices, region)
    found = []
    for name, machine in sorted(catalog.machine_types.items()):
        if machine_family(name) not in known["families"]:
            continue
        own = catalog.price(name, region)[0]
        for kind, spot, price in (
            ("on demand", False, own.on_demand if own else None),
            ("Spot", True, own.spot if own else None),
        ):
            api = machine_price(name, machine, skus, known, spot=spot)
            same = price is None and api is None
            if not same and (price is None or api is None or abs(price - api) > _TOLERANCE * machine.gpus):
                found.append(Difference(name, region, kind, price, api))
    return found


def main(arguments: list[str] | None = None, page: Page | None = None) -> int:
    """Prints the differences and returns the exit code: 0 without any, 1 with some, 2 where prices cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_prices", description=__doc__)
    parser.add_argument("--region", required=True, help="region whose prices are compared")
    region = parser.parse_args(arguments).region
    key = os.environ.get(KEY_VARIABLE, "")
    if page is None and not key:
        print(f"set {KEY_VARIABLE} to an API key of your own project", file=sys.stderr)
        return 2
    known = read(Path(__file__).parent / "price_skus.yaml")
    try:
        found = differences(load_catalog(), tuple(prices_of(page or asked(key))), region, known)
    except PriceError as error:
        print(error, file=sys.stderr)
        return 2
    for difference in found:
        print(difference)
    print(f"{len(found)} prices differ in {region}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
