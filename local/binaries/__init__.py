"""Programs that no Python package carries: found where others keep them, in the cache, or built with Go."""

from local.binaries.build import Progress, ensure
from local.binaries.cache import CancelledError
from local.binaries.definitions import gateway_definitions
from local.binaries.errors import BinariesError
from local.binaries.programs import PROGRAMS, Program

__all__ = ["PROGRAMS", "BinariesError", "CancelledError", "Program", "Progress", "ensure", "gateway_definitions"]
