"""What the catalog adds to the JSON schema: names that an editor completes, and misspelled ones that it marks.

Names beyond the catalog stay possible where a plan takes them: newer versions, new regions, a GPU of which the stack
states the memory, a model that it describes.
"""

from typing import Any

from gke_llm_inference.catalog import Catalog

_CONTINENT = "africa|asia|australia|europe|me|northamerica|southamerica|us"
_DIRECTION = "central|(?:north|south)?(?:east|west)|north|south"
_REGION = f"(?:{_CONTINENT})-(?:{_DIRECTION})[0-9]+"
"""How Google names every region, those that the catalog does not have too."""

Schema = dict[str, Any]


def add_known_values(definitions: dict[str, Schema], catalog: Catalog) -> None:
    """Adds the names that the catalog knows to the schemas of the settings' models, by their names."""
    regions = sorted({region for accelerator in catalog.accelerators.values() for region in accelerator.zones})
    zones = sorted(
        {zone for one in catalog.accelerators.values() for region in one.zones for zone in one.zones_in(region)}
    )
    system = [f"{kind}-{count}" for kind, counts in catalog.system_machine_types.items() for count in counts]
    gpus, presets = sorted(catalog.accelerators), sorted(catalog.presets)

    _only(definitions["AcceleratorSettings"], "type", gpus)
    _only(definitions["AcceleratorChoice"], "type", gpus)
    _only(definitions["NodePoolSettings"], "machineType", sorted(catalog.machine_types))
    _only(definitions["SystemPool"], "machineType", system)
    _or(definitions["AutopilotCluster"], "location", regions, f"^{_REGION}$")
    for model in ("StandardCluster", "ExistingCluster"):
        _or(definitions[model], "location", [*regions, *zones], f"^{_REGION}(?:-[a-z])?$")
    for model in ("StandardCluster", "NodePoolSettings"):
        items = definitions[model]["properties"]["zones"]
        items["items"] = _choice(items["items"], zones, f"^{_REGION}-[a-z]$")

    # A GPU beyond the catalog needs its memory, a model its numbers.
    _unless(definitions["ServerAccelerator"], "type", gpus, ("memoryMib",))
    for model, kind in (("VllmSettings", "vllm"), ("TgiSettings", "tgi")):
        server, facts = definitions[model], catalog.servers[kind]  # type: ignore[index]
        versions = sorted({*facts.known_versions, facts.default_version}, key=_numbers, reverse=True)
        _or(server, "version", versions, None)
        server["properties"]["presets"]["items"] = {"enum": presets, "type": "string"}
        _unless(server, "model", sorted({*catalog.models, *catalog.checkpoints}), ("architecture", "configFile"))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _only(model: Schema, key: str, names: list[str]) -> None:
    """Allow the names alone."""
    schema = model["properties"][key]
    model["properties"][key] = _map_text(schema, lambda text: {**_without(text, "pattern"), "enum": names})


def _or(model: Schema, key: str, names: list[str], pattern: str | None) -> None:
    """Allow the names, and what has the form of one; the form that the model states where no pattern is given."""
    schema = model["properties"][key]
    model["properties"][key] = _map_text(schema, lambda text: _choice(text, names, pattern))


def _unless(model: Schema, key: str, names: list[str], given: tuple[str, ...]) -> None:
    """Allow the names, and others if another key is given."""
    _or(model, key, names, None)
    model["if"] = {
        "anyOf": [{"required": [other], "properties": {other: {"not": {"type": "null"}}}} for other in given]
    }
    model["else"] = {"properties": {key: {"enum": names}}}


def _choice(text: Schema, names: list[str], pattern: str | None) -> Schema:
    form = _without(text, "title", "description", "default")
    if pattern is not None:
        form = {**form, "pattern": pattern}
    kept = {key: value for key, value in text.items() if key in ("title", "description", "default")}
    return {**kept, "anyOf": [{"enum": names, "type": "string"}, form]}


def _map_text(schema: Schema, change: Any) -> Schema:
    """The schema with what it says of texts changed; `null` beside it stays."""
    if "anyOf" not in schema:
        changed: Schema = change(schema)
        return changed
    members: list[Schema] = []
    for member in schema["anyOf"]:
        changed = change(member) if member.get("type") == "string" else member
        members += changed.get("anyOf", [changed])
    return {**schema, "anyOf": members}


def _without(schema: Schema, *keys: str) -> Schema:
    return {key: value for key, value in schema.items() if key not in keys}
