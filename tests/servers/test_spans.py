"""What the catalog says of vLLM's spans is what its packages on PyPI write: times and numbers, and no text."""

import ast
import zipfile
from pathlib import Path

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.observability.tracing import tracing_of
from gke_llm_inference.settings import TracingSettings

FACTS = load_catalog().tracing["vllm"]
TRACING = TracingSettings(endpoint="http://collector.telemetry.svc:4317")


def test_a_span_of_a_request_has_what_the_catalog_lists(vllm_version: str, vllm_wheel: Path) -> None:
    if tracing_of(TRACING, vllm_version, FACTS) is None:
        return
    with zipfile.ZipFile(vllm_wheel) as wheel:
        names = ast.parse(wheel.read("vllm/tracing/utils.py"))
        engine = ast.parse(wheel.read("vllm/v1/engine/output_processor.py"))
    values = {
        target.id: ast.literal_eval(one.value)
        for one in ast.walk(names)
        if isinstance(one, ast.Assign)
        for target in one.targets
        if isinstance(target, ast.Name) and isinstance(one.value, ast.Constant)
    }
    written = {
        values[one.attr]
        for one in ast.walk(engine)
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "SpanAttributes"
    }
    assert sorted(written) == list(FACTS.attributes)


def test_only_a_request_and_the_start_have_spans(vllm_version: str, vllm_wheel: Path) -> None:
    if tracing_of(TRACING, vllm_version, FACTS) is None:
        return
    with zipfile.ZipFile(vllm_wheel) as wheel:
        sources = {name: wheel.read(name).decode() for name in wheel.namelist() if name.endswith(".py")}
    written = {name for name, text in sources.items() if "instrument_manual(" in text and "/tracing/" not in name}
    # The second is what compiles the model at the start.
    assert written == {"vllm/v1/engine/output_processor.py", "vllm/compilation/backends.py"}
    # Spans of other libraries, which may hold a request's text.
    assert not [name for name, text in sources.items() if "FastAPIInstrumentor" in text]


def test_the_image_has_what_sends_them(vllm_version: str, vllm_wheel: Path) -> None:
    with zipfile.ZipFile(vllm_wheel) as wheel:
        [metadata] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        required = wheel.read(metadata).decode()
    sends = any(
        line.startswith("Requires-Dist: opentelemetry-exporter-otlp") and "extra" not in line
        for line in required.splitlines()
    )
    assert sends is (tracing_of(TRACING, vllm_version, FACTS) is not None)
