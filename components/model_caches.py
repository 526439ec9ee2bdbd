"""Anywhere Cache: keeps what pods read from a bucket in their zones."""

# Postponed annotations: naming the SDK's modules in them would import these a second before they are needed.
from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from gke_llm_inference.planning.model_source.plan import BucketCaches


def bucket_caches(
    plan: BucketCaches, bucket: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> dict[str, gcp.storage.AnywhereCache]:
    """A cache of the bucket in each of the zones, by zone.

    Args:
        plan: the caches.
        bucket: name of the bucket.
        opts: options of each.

    """
    return {
        zone: gcp.storage.AnywhereCache(
            f"model-cache-{zone}", bucket=bucket, zone=zone, ttl=f"{plan.ttl_seconds}s", opts=opts
        )
        for zone in plan.zones
    }
