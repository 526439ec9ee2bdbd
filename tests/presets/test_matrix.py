"""Every preset on every server and version: exact arguments, or a refusal that says what to do instead."""

from __future__ import annotations

import re

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.preset_facts import Technique
from gke_llm_inference.planning.command_line import command_line
from gke_llm_inference.planning.models import served_model
from gke_llm_inference.planning.presets import apply_presets
from gke_llm_inference.settings import Refusal, TgiSettings, VllmSettings
from gke_llm_inference.settings.findings import problems_of as problems_among
from tests.planning.support import CATALOG
from tests.presets.expected import EXPECTED, Gives, Key, Refuses
from tests.presets.support import TGI, VERSIONS, VLLM, flag_problems, outcome, plan_of, problems_of, warnings_of
from tests.support import REPOSITORY
from tools.preset_reference import Cell, cell, markdown_matrix, matrix

CELLS: dict[Key, Cell] = {(one.preset, one.server, one.version): one for one in matrix()}


def named(key: Key) -> str:
    return "-".join(key)


def cells(*, of: type[Gives | Refuses]) -> list[Key]:
    return [key for key, what in EXPECTED.items() if isinstance(what, of)]


def server_of(one: Cell) -> dict[str, object]:
    """The keys of a server with which a stack asks for the cell."""
    server: dict[str, object] = {"server": one.server, "version": one.version, "model": one.model}
    if one.preset == "squeezellm":
        llama = CATALOG.models["meta-llama/Llama-2-13b-hf"].described()
        server["architecture"] = {**llama, "checkpoint": "squeezellm"}
    return server


def test_the_table_has_every_cell_and_no_other() -> None:
    assert CELLS.keys() == EXPECTED.keys()


def test_every_version_of_the_catalog_is_in_the_table() -> None:
    assert {kind: facts.known_versions for kind, facts in CATALOG.servers.items()} == VERSIONS
    techniques = [one for one in load_catalog().presets.values() if isinstance(one, Technique)]
    assert len(EXPECTED) == len(techniques) * sum(map(len, VERSIONS.values()))


@pytest.mark.parametrize(
    "key",
    cells(of=Gives),
    ids=named,
)
def test_a_cell_gives_exactly_its_arguments(key: Key) -> None:
    expected = EXPECTED[key]
    assert isinstance(expected, Gives)
    assert CELLS[key].refusals == ()
    assert CELLS[key].arguments == expected.arguments


@pytest.mark.parametrize("key", cells(of=Refuses), ids=named)
def test_a_refused_cell_says_why_and_what_to_do_instead(key: Key) -> None:
    expected = EXPECTED[key]
    assert isinstance(expected, Refuses)
    preset, server, version = key
    assert (CELLS[key].arguments, CELLS[key].notes) == ((), ())
    (refusal,) = CELLS[key].refusals
    assert (refusal.path, refusal.what) == ("server.presets[0]", f"{preset} is not possible with {server} {version}")
    assert expected.why in refusal.why
    assert [part for part in expected.instead if part not in refusal.fix] == []


def test_no_cell_is_empty() -> None:
    empty = [key for key, one in CELLS.items() if not (one.arguments or one.notes or one.refusals)]
    assert empty == []
    assert [key for key, one in CELLS.items() for refusal in one.refusals if not (refusal.why and refusal.fix)] == []


@pytest.mark.parametrize("key", cells(of=Refuses), ids=named)
def test_what_a_refusal_proposes_works(key: Key) -> None:
    preset, server, version = key
    (refusal,) = CELLS[key].refusals
    proposed = [
        (name, server, version)
        for name in load_catalog().presets
        if re.search(rf"(?<![\w-]){name}(?![\w-])", refusal.fix)
    ]
    proposed += [(preset, VLLM, found) for found in re.findall(r"vLLM ([0-9.]+[0-9])(?!\S)", f"{refusal.fix} ")]
    proposed += [(preset, TGI, found) for found in re.findall(r"TGI ([0-9.]+[0-9])", refusal.fix)]
    if re.search(r"vLLM($| )(?![0-9])", refusal.fix):
        proposed.append((preset, VLLM, CATALOG.servers[VLLM].default_version))
    known = [EXPECTED[one] for one in proposed if one in EXPECTED]
    assert any(isinstance(what, Gives) for what in known), refusal.fix


@pytest.mark.parametrize("key", EXPECTED, ids=named)
def test_a_stack_with_the_preset_gets_what_the_matrix_says(key: Key) -> None:
    one = CELLS[key]
    server = server_of(one)
    if one.refusals:
        (problem,) = problems_of(**server, presets=[one.preset])
        (refusal,) = one.refusals
        assert problem.path == "servers.gemma.presets[0]"
        assert (problem.what, problem.why, problem.fix) == (refusal.what, refusal.why, refusal.fix)
        return
    plain = plan_of(**server).arguments
    with_preset = plan_of(**server, presets=[one.preset])
    assert tuple(text for text in with_preset.arguments if text not in plain) == one.arguments


@pytest.mark.parametrize("preset", ["fp8-kv-cache-e4m3", "fp8-kv-cache-e5m2"])
def test_an_fp8_kv_cache_warns_of_the_older_engine_on_0_10_alone(preset: str) -> None:
    (warning,) = warnings_of(version="0.10.0", presets=[preset])
    assert (warning.path, warning.what) == (
        "servers.gemma.presets[0]",
        f"{preset} makes vLLM fall back to its older engine on an L4",
    )
    assert "vLLM 0.1" in warning.fix
    for version in ("0.6.0", "0.11.0", "0.19.1", "0.26.0", "0.33.0"):
        if (preset, version) != ("fp8-kv-cache-e5m2", "0.11.0"):
            assert warnings_of(version=version, presets=[preset]) == []


@pytest.mark.parametrize("version", ["0.11.0", "0.12.3", "0.18.9"])
def test_e5m2_is_refused_where_kernels_read_every_fp8_cache_as_e4m3(version: str) -> None:
    (problem,) = problems_of(version=version, presets=["fp8-kv-cache-e5m2"])
    assert problem.what == f"fp8-kv-cache-e5m2 is not possible with vllm {version}"
    assert problem.fix == "use fp8-kv-cache-e4m3"
    assert "--kv-cache-dtype=fp8_e4m3" in plan_of(version=version, presets=["fp8-kv-cache-e4m3"]).arguments


@pytest.mark.parametrize(
    ("version", "works"), [("0.27.9", True), ("0.28.0", False), ("0.30.0", False), ("0.34.0", False)]
)
@pytest.mark.parametrize("preset", ["bitsandbytes", "bitsandbytes-nf4"])
def test_bitsandbytes_ends_with_0_27(preset: str, version: str, works: bool) -> None:
    result = outcome(version=version, presets=[preset])
    assert isinstance(result, Refusal) is not works
    if isinstance(result, Refusal):
        assert "vllm-bnb-plugin" in str(result)


@pytest.mark.parametrize(("version", "works"), [("0.6.0", True), ("0.6.1", False), ("0.9.2", False)])
def test_squeezellm_ends_with_0_6_0(version: str, works: bool) -> None:
    server = server_of(CELLS["squeezellm", VLLM, "0.6.0"])
    result = outcome(**{**server, "version": version}, presets=["squeezellm"])
    assert isinstance(result, Refusal) is not works


@pytest.mark.parametrize("model", ["TechxGenus/gemma-7b-it-GPTQ", "TechxGenus/gemma-7b-GPTQ", "shuyuej/gemma-7b-GPTQ"])
def test_gptq_on_gemma_is_refused_for_the_versions_of_the_guide_alone(model: str) -> None:
    for version in ("0.6.0", "0.10.0", "0.10.2"):
        (problem,) = problems_of(model=model, version=version, presets=["gptq"])
        assert problem.what == f"gptq is not possible with vllm {version}"
        assert problem.why == "Google's guide rules GPTQ out for Gemma on vLLM of this time"
        assert problem.fix == "use the awq preset with an AWQ checkpoint, or vLLM 0.26.0"
    for version in ("0.11.0", "0.19.1", "0.26.0", "0.33.0"):
        assert not isinstance(outcome(model=model, version=version, presets=["gptq"]), Refusal)
    assert "--quantize=gptq" in plan_of(server="tgi", version="2.3.1", model=model, presets=["gptq"]).arguments


@pytest.mark.parametrize(
    ("preset", "flag"),
    [
        ("fp8-kv-cache-e4m3", "--kv-cache-dtype=fp8_e4m3fn"),
        ("fp8-kv-cache-e5m2", "--kv-cache-dtype=fp8_e5m2"),
        ("compressed-tensors", "--quantize=compressed-tensors"),
    ],
)
@pytest.mark.parametrize("version", ["2.4.0", "3.0.0", "3.2.3"])
def test_what_tgi_has_from_2_4_on_works_on_every_version_since(preset: str, flag: str, version: str) -> None:
    model = CELLS[preset, TGI, "3.3.7"].model
    assert flag in plan_of(server="tgi", version=version, model=model, presets=[preset]).arguments


def test_the_document_is_the_one_that_is_generated() -> None:
    assert (REPOSITORY / "docs" / "presets.md").read_text(encoding="utf-8") == markdown_matrix()


@pytest.mark.parametrize("preset", [name for name, one in load_catalog().presets.items() if isinstance(one, Technique)])
def test_the_document_shows_every_cell_of_a_technique(preset: str) -> None:
    document = (REPOSITORY / "docs" / "presets.md").read_text(encoding="utf-8")
    lines = document.partition(f"\n### {preset}\n")[2].partition("\n### ")[0].splitlines()
    rows = [[part.strip() for part in line.strip("| ").split(" | ")] for line in lines if line.startswith("| ")]
    shown = {(row[0], version): (row[2], row[-1]) for row in rows for version in row[1].split(", ")}
    for (name, server, version), what in EXPECTED.items():
        if name != preset:
            continue
        arguments, notes = shown[server, version]
        match what:
            case Gives(texts):
                assert arguments == ("<br>".join(f"`{text}`" for text in texts) or "none needed")
            case Refuses(why, instead):
                assert arguments == "not possible"
                assert [part for part in (why, *instead) if part not in notes] == []


def test_a_cell_with_a_model_that_is_not_known_is_an_error_of_the_catalog() -> None:
    empty = CATALOG.model_copy(update={"models": {}, "checkpoints": {}})
    with pytest.raises(ValueError, match="the model for awq is not known"):
        cell("awq", VLLM, "0.26.0", empty)


@pytest.mark.parametrize("version", [*VERSIONS[VLLM], "0.8.0", "0.12.0", "0.28.0", "0.40.0"])
def test_every_argument_that_a_preset_gives_with_any_model_is_one_of_vllm(version: str) -> None:
    assert wrong_arguments(VllmSettings, VLLM, version) == []


@pytest.mark.parametrize("version", [*VERSIONS[TGI], "3.4.0"])
def test_every_argument_that_a_preset_gives_with_any_model_is_one_of_tgi(version: str) -> None:
    assert wrong_arguments(TgiSettings, TGI, version) == []


def wrong_arguments(
    kind: type[VllmSettings | TgiSettings], server: str, version: str
) -> list[tuple[str, str, list[str]]]:
    """What the flags of a version have against the arguments of any preset that is not refused, with any model."""
    wrong = []
    for name in load_catalog().presets:
        for model_id in (*CATALOG.models, *CATALOG.checkpoints):
            settings = kind.model_validate(
                {"server": server, "version": version, "model": model_id, "presets": (name,)}
            )
            model, of_model = served_model("server", settings, CATALOG)
            if model is None:
                assert CATALOG.models[model_id].task != "generate"
                assert of_model
                continue
            applied = apply_presets("server", settings, version, model, CATALOG)
            if problems_among(applied.findings):
                continue
            line, _, problems = command_line("server", applied.settings, version, CATALOG)
            found = [*flag_problems(settings.server, version, tuple(one.text for one in line)), *map(str, problems)]
            if found:
                wrong.append((name, model_id, found))
    return wrong
