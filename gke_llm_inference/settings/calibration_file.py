"""Reads calibration files: what `examples/calibration` writes, and what servers name under `calibration`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from gke_llm_inference.settings.calibration import FORMAT, Calibration
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.model_config.files import read_object
from gke_llm_inference.settings.parse import leaked_secrets, parse_model

MOST_BYTES = 2**20
"""More than a file of the longest lists has."""
_EXAMPLE = "examples/calibration"


def read_calibration(file: Path, path: str) -> Calibration:
    """The calibration in a file.

    Args:
        file: the file: JSON.
        path: where the configuration names it.

    Raises:
        Refusal: with every problem of the file; each is at `path`, and says where in the file it is.

    """
    try:
        document = read_object(file, path, MOST_BYTES, kind="calibration")
    except Refusal as refusal:
        raise Refusal(map(_of_calibration, refusal.problems)) from None
    found = _other_format(document, file, path)
    if found:
        raise Refusal([found])
    leaked = list(leaked_secrets(document))
    if leaked:
        raise Refusal([_located(one, file, path, fix=one.fix) for one in leaked])
    try:
        return parse_model(Calibration, document)
    except Refusal as refusal:
        fix = f"measure again with {_EXAMPLE}, or correct it"
        raise Refusal([_located(one, file, path, fix=one.fix or fix) for one in refusal.problems]) from None


def _of_calibration(finding: Finding) -> Finding:
    """A problem of a file of which only the name is known."""
    if finding.what.endswith("cannot be read"):
        return finding
    return replace(finding, why="a calibration is a small JSON object", fix=f"name a file that {_EXAMPLE} wrote")


def _other_format(document: dict[str, Any], file: Path, path: str) -> Finding | None:
    stated = document.get("format")
    if "format" not in document:
        return Finding(
            path=path,
            what=f"{file.name} is not a calibration",
            why="it does not state its format",
            fix=f"name a file that {_EXAMPLE} wrote",
        )
    if isinstance(stated, int) and not isinstance(stated, bool) and stated != FORMAT:
        return Finding(
            path=path,
            what=f"{file.name} has format {stated}",
            why=f"this version reads format {FORMAT}",
            fix=f"measure again with this version's {_EXAMPLE}",
        )
    return None


def _located(finding: Finding, file: Path, path: str, *, fix: str) -> Finding:
    where = f"{finding.path} " if finding.path not in ("", "configuration") else ""
    return Finding(path=path, what=f"{file.name}: {where}{finding.what}", why=finding.why, fix=fix)
