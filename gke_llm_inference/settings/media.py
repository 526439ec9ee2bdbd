"""How many images, videos and sounds a prompt may have, and where they may come from."""

from typing import Annotated

from pydantic import Field, StringConstraints

from gke_llm_inference.settings.base import Settings

MediaCount = Annotated[int, Field(ge=0, le=999)]
MediaDomain = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$", max_length=253
    ),
]


class MediaLimits(Settings):
    """Most items of each kind in one prompt; the version's own limit where absent."""

    image: MediaCount | None = None
    """Images."""
    video: MediaCount | None = None
    """Videos."""
    audio: MediaCount | None = None
    """Sounds."""
