"""How servers are reached, for people and programs."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.planning.access.plan import AccessPlan, ApiKeyPlan, PickerPlan
from gke_llm_inference.planning.plan import ServerPlan

_WHO = {"internal": "from inside of the VPC", "external": "from the internet"}


def access_document(server: ServerPlan, access: AccessPlan) -> dict[str, Any]:
    """How a server is reached as plain data for JSON."""
    reached = access.of(server.key)
    return {
        "exposure": reached.exposure if reached else "none",
        "url": access.url_of(reached) if reached else None,
        "routes": [f"{route.method} {route.path}" for route in reached.routes] if reached else [],
        "timeoutSeconds": reached.timeout_seconds if reached else None,
        "drainingSeconds": reached.draining_seconds if reached else None,
        "routing": reached.routing if reached else None,
        "picker": _picker_document(reached.picker) if reached and reached.picker else None,
        "apiKeys": _keys_document(server.api_keys) if server.api_keys else None,
    }


def gateway_document(access: AccessPlan) -> list[dict[str, Any]]:
    """The load balancers of a stack as plain data for JSON."""
    return [
        {
            "name": gateway.name,
            "exposure": gateway.exposure,
            "class": gateway.class_name,
            "port": gateway.port,
            "tls": gateway.encrypted,
            "address": gateway.address,
            "certificates": list(gateway.certificates),
            "certificatesMade": sorted(
                one.hostname for one in access.certificates if one.hostname in gateway.hostnames
            ),
            "hostnames": list(gateway.hostnames),
            "proxyCidr": access.proxy_cidr,
            "requestsPerInterval": access.rate_limit.requests
            if access.rate_limit and gateway.exposure == "external"
            else None,
        }
        for gateway in access.gateways
    ]


def access_lines(server: ServerPlan, access: AccessPlan) -> Iterator[str]:
    """How a server is reached as lines of the plan; none where it neither is nor has keys."""
    reached = access.of(server.key)
    if reached is not None:
        yield f"  reached    {_WHO[reached.exposure]}: {access.url_of(reached)}"
        if any(one.hostname == reached.hostname for one in access.certificates):
            yield "  TLS        a certificate is made, and issued once its DNS record is there"
        yield f"  routes     {', '.join(f'{route.method} {route.path}' for route in reached.routes)}; else 404"
        # The load balancer may wait longer than the pod is there.
        rest = min(reached.draining_seconds, server.shutdown.answer_seconds)
        yield f"  answers    cut after {reached.timeout_seconds} s; {rest} s to end when a pod leaves"
        if reached.picker is not None:
            yield f"  pods       {_picker_text(reached.picker)}"
    if server.api_keys is not None:
        yield f"  API keys   {_keys_text(server.api_keys)}"


def _picker_document(picker: PickerPlan) -> dict[str, Any]:
    return {
        "name": picker.name,
        "pool": picker.pool,
        "image": picker.image,
        "args": list(picker.arguments),
        "scorers": dict(picker.scorers),
        "cpu": picker.cpu_millicores / 1000,
        "memoryGib": picker.memory_mib / 1024,
        "graceSeconds": picker.grace_seconds,
    }


def _picker_text(picker: PickerPlan) -> str:
    goes_by = ", ".join(f"{name.removesuffix('-scorer')} {weight}" for name, weight in picker.scorers)
    return (
        f"chosen by {picker.name} ({goes_by}): one pod of {picker.cpu_millicores / 1000:g} vCPU, "
        f"{picker.memory_mib / 1024:g} GiB; any that is ready while it is away"
    )


def _keys_document(keys: ApiKeyPlan) -> dict[str, Any]:
    return {
        "source": keys.settings.source,
        "secretName": keys.secret_name,
        "secretKey": keys.secret_key,
        "count": keys.count,
        "variable": keys.variable,
        "file": keys.file,
    }


def _keys_text(keys: ApiKeyPlan) -> str:
    many = "one" if keys.count == 1 else "those in the file" if keys.count is None else f"{keys.count}, newest first"
    where = f"variable {keys.variable}" if keys.variable else f"file {keys.file}"
    return f"{many}, from the Secret {keys.secret_name} ({keys.settings.source}), in the {where}"
