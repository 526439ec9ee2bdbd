"""The recording that tests of components look into."""

from pathlib import Path

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import Recordings


@pytest.fixture(scope="session")
def gallery(recordings: Recordings) -> Recording:
    """Every component in every variant; see `gallery.py`."""
    return recordings.program(Path(__file__).with_name("gallery.py"))
