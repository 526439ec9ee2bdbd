"""Writes the flags of one vLLM version to the catalog, from its package on PyPI, without importing it.

`python -m tools.extract_vllm_flags VERSION --date YYYY-MM-DD` downloads the package (with pip, no dependencies), reads
its source and writes `gke_llm_inference/catalog/servers/flags/vllm-VERSION.yaml`. Review the difference to the version
before.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tools.package_source import Package, UnreadableError
from tools.vllm_parser import Extraction, extract

FLAGS_DIRECTORY = Path(__file__).resolve().parent.parent / "gke_llm_inference" / "catalog" / "servers" / "flags"

_PLATFORMS = (
    "manylinux_2_35_x86_64",
    "manylinux_2_34_x86_64",
    "manylinux_2_31_x86_64",
    "manylinux_2_28_x86_64",
    "manylinux2014_x86_64",
    "manylinux1_x86_64",
    "any",
)
_HEADER = "# Made by `python -m tools.extract_vllm_flags {version} --date {date}`; change the tool, not this file.\n"


class DownloadError(Exception):
    """The package is not available."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 if the file was written."""
    parser = argparse.ArgumentParser(prog="python -m tools.extract_vllm_flags", description=__doc__)
    parser.add_argument("version", help="vLLM version, such as 0.26.0")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--wheel", type=Path, help="a wheel of that version, or a directory with its content")
    source.add_argument("--download-dir", type=Path, help="keeps the download, and uses one that is there already")
    parser.add_argument("--date", type=_date, required=True, help="the date to record, YYYY-MM-DD")
    parser.add_argument("--out", type=Path, help="file to write; default: the catalog's vllm-VERSION.yaml")
    options = parser.parse_args(arguments)
    try:
        if options.wheel:
            extraction = read(options.wheel, options.version)
        elif options.download_dir:
            extraction = read(wheel_of(options.version, options.download_dir), options.version)
        else:
            with tempfile.TemporaryDirectory() as directory:
                extraction = read(wheel_of(options.version, Path(directory)), options.version)
    except (DownloadError, UnreadableError) as error:
        sys.stderr.write(f"vLLM {options.version}: {error}\n")
        return 1
    if extraction.problems:
        sys.stderr.write(f"vLLM {options.version}: nothing written, {len(extraction.problems)} flags are unclear:\n")
        sys.stderr.writelines(f"  {problem.flag}: {problem.text}\n" for problem in extraction.problems)
        return 1
    target = options.out or FLAGS_DIRECTORY / f"vllm-{options.version}.yaml"
    target.write_text(render(extraction, options.date), "utf-8")
    sys.stdout.write(f"{target}: {summary(extraction)}\n")
    return 0


def read(location: Path, version: str) -> Extraction:
    """The flags in the wheel, or in the directory with a wheel's content, at `location`.

    Raises:
        UnreadableError: it is another version, or its code isn't read by this tool.

    """
    if not location.exists():
        raise UnreadableError(f"there is no {location}")
    extraction = extract(Package.open(location))
    if extraction.version != version:
        raise UnreadableError(f"{location} is version {extraction.version}")
    return extraction


def wheel_of(version: str, directory: Path) -> Path:
    """The wheel of `version` in `directory`, downloaded from PyPI if it isn't there yet.

    Raises:
        DownloadError: pip has no such package, or isn't installed.

    """
    pattern = f"vllm-{version}-*.whl"
    found = sorted(directory.glob(pattern))
    if found:
        return found[0]
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as arriving:
        platforms = [part for platform in _PLATFORMS for part in ("--platform", platform)]
        command = [*_pip(), "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version", "3.12", "--implementation", "cp", "--abi", "abi3", "--abi", "none", *platforms]
        ended = subprocess.run(  # noqa: S603 arguments are this module's own, and a version
            [*command, "--dest", arriving, f"vllm=={version}"], capture_output=True, text=True, check=False
        )
        wheels = sorted(Path(arriving).glob(pattern))
        if ended.returncode or not wheels:
            lines = ended.stderr.strip().splitlines()
            raise DownloadError(f"pip can't download it: {lines[-1] if lines else f'exit code {ended.returncode}'}")
        return Path(shutil.move(wheels[0], directory / wheels[0].name))


def _pip() -> list[str]:
    probe = [sys.executable, "-m", "pip", "--version"]
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:  # noqa: S603 fixed arguments
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip") or shutil.which("pip3")
    if found:
        return [found]
    raise DownloadError("pip isn't installed; install it, or pass a wheel with --wheel")


def render(extraction: Extraction, date: str) -> str:
    """The catalog's file; the same text whenever the same package is read."""
    document: dict[str, Any] = {
        "server": "vllm",
        "version": extraction.version,
        "source": f"vllm {extraction.version} on PyPI",
        "date": date,
        "flags": extraction.flags,
    }
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=116, allow_unicode=True)
    return _HEADER.format(version=extraction.version, date=date) + text


def summary(extraction: Extraction) -> str:
    """One line about what was read."""
    types = Counter(str(flag["type"]) for flag in extraction.flags.values())
    parts = [f"{count} {name}" for name, count in sorted(types.items())]
    with_choices = sum("choices" in flag for flag in extraction.flags.values())
    deprecated = sum("deprecated" in flag for flag in extraction.flags.values())
    return f"{len(extraction.flags)} flags ({', '.join(parts)}), {with_choices} with choices, {deprecated} deprecated"


def _date(text: str) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a date like 2026-11-22") from None


if __name__ == "__main__":
    sys.exit(main())
