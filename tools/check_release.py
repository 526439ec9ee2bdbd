"""`python -m tools.check_release TAG`: whether a tag may be released. Needs nothing but Python.

The tag is `v` and the package's version, which the policy pack has too; the changelog has a dated section of that
version, and nothing is left in its part on what is not released; the public surface on record as released is today's.
"""

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
_POLICY_PACK = "policy-pack/PulumiPolicy.yaml"
_VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)


def problems(tag: str, repository: Path) -> list[str]:
    """Why the tag may not be released, in short sentences; empty if it may."""
    version = _VERSION.search((repository / "gke_llm_inference" / "version.py").read_text("utf-8"))
    stated = version[1] if version else ""
    changelog = (repository / "CHANGELOG.md").read_text("utf-8")
    surfaces = repository / "tests" / "package"
    found = []
    if tag != f"v{stated}":
        found.append(f"the tag is {tag}, gke_llm_inference/version.py says {stated}; a tag is v{stated}")
    pack = re.search(r"^version: (.*)$", (repository / _POLICY_PACK).read_text("utf-8"), re.MULTILINE)
    if pack is None or pack[1] != stated:
        found.append(f"{_POLICY_PACK} says {pack[1] if pack else 'no version'}; the package's version is {stated}")
    if not re.search(rf"^## \[{re.escape(stated)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no section `## [{stated}] - YYYY-MM-DD`; give it one")
    if re.search(r"^[*-] ", changelog.partition("## [Unreleased]")[2].partition("\n## [")[0], re.MULTILINE):
        found.append("CHANGELOG.md has entries under [Unreleased]; move them to the section of the version")
    if (surfaces / "surface.json").read_bytes() != (surfaces / "surface-released.json").read_bytes():
        found.append("tests/package/surface-released.json is not today's surface; copy surface.json over it")
    return found


def main() -> int:
    """Print what stands in the way; 0 if nothing does."""
    if len(sys.argv) != 2:
        print("usage: python -m tools.check_release TAG", file=sys.stderr)
        return 2
    found = problems(sys.argv[1], REPOSITORY)
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
