"""Runs in a pod before vLLM: downloads each adapter at its commit, and holds its rank against what was planned.

The arguments are a directory and one `name=repository@commit:rank` for each adapter. What is there already is kept. The
token is where huggingface_hub looks for it, in the environment. Only configuration and safetensors are taken: other
weights are pickles, which run as code.
"""

import json
import sys
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Downloads what the arguments name.

    Raises:
        SystemExit: an adapter has another rank than was planned, or no weights that can be taken.

    """
    from huggingface_hub import snapshot_download  # type: ignore[import-not-found]  # the image has it

    directory, *adapters = arguments
    for number, adapter in enumerate(adapters, 1):
        name, _, place = adapter.partition("=")
        repository, _, pinned = place.partition("@")
        revision, _, rank = pinned.partition(":")
        target = Path(directory) / name
        print(f"{number} of {len(adapters)}: {name}: {repository} at {revision}", flush=True)
        snapshot_download(
            repository, revision=revision, local_dir=str(target), allow_patterns=["*.json", "*.safetensors"]
        )
        if not list(target.glob("*.safetensors")):
            sys.exit(f"{name}: {repository} has no safetensors at {revision}")
        found = json.loads((target / "adapter_config.json").read_text("utf-8")).get("r")
        if found != int(rank):
            sys.exit(f"{name}: {repository} has the rank {found}, and {rank} was planned; correct it in the stack file")


if __name__ == "__main__":
    main(sys.argv[1:])
