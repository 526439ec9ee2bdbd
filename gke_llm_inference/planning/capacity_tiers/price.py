"""What the machine of a tier costs: the price of its own kind, or that none is known."""

from dataclasses import dataclass

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import ProvisioningName, machine_family


@dataclass(frozen=True)
class TierPrice:
    """List price of a machine.

    Attributes:
        usd_per_hour: USD per hour; None where no price of that kind is known.
        note: what the price leaves out, or why there is none.

    """

    usd_per_hour: float | None
    note: str = ""


def tier_price(machine_type: str, model: ProvisioningName, region: str | None, catalog: Catalog) -> TierPrice:
    """The price of a machine that is provided in one way, in the cluster's region.

    Args:
        machine_type: the machine.
        model: how Google provides it.
        region: region of the cluster; the reference region stands in where it is not known.
        catalog: the facts to decide by.

    """
    prices, of_region = catalog.price(machine_type, region)
    if prices is None:
        return TierPrice(None, f"no price known of {machine_type} in {of_region}")
    elsewhere = "" if of_region == region else f"price of {of_region}"
    if model == "spot":
        return TierPrice(prices.spot, elsewhere)
    if model == "flexStart" and machine_family(machine_type) in catalog.prices.flex_start_discount:
        return TierPrice(None, f"no price known of flex-start; less than {prices.on_demand:.2f} USD an hour on demand")
    if model == "reservation":
        note = "billed whether it is used or not"
        return TierPrice(prices.on_demand, f"{elsewhere}; {note}" if elsewhere else note)
    return TierPrice(prices.on_demand, elsewhere)
