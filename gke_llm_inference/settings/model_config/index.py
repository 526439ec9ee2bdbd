"""Reads what the index of a checkpoint says of its size."""

from pathlib import Path

from gke_llm_inference.settings.model_config.files import MOST_INDEX_BYTES, read_object

INDEX_NAME = "model.safetensors.index.json"
_MOST = 2**60


def checkpoint_bytes(directory: Path, path: str) -> int | None:
    """Size of the checkpoint whose index lies in a directory; None where none does, or it does not say.

    Args:
        directory: where the config.json lies.
        path: where the configuration names it.

    Raises:
        Refusal: there is an index, and it cannot be read.

    """
    file = directory / INDEX_NAME
    if not file.exists():
        return None
    metadata = read_object(file, path, MOST_INDEX_BYTES, kind=INDEX_NAME).get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    usable = isinstance(size, int | float) and not isinstance(size, bool) and 0 < size < _MOST
    return int(size) if usable and isinstance(size, int | float) else None
