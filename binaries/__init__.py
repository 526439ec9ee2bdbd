"""Programs that no Python package carries: found where others keep them, in the cache, or built with Go."""

from binaries.build import Progress, ensure
from binaries.cache import CancelledError
from binaries.definitions import gateway_definitions
from binaries.errors import BinariesError
from binaries.programs import PROGRAMS, Program

__all__ = ["PROGRAMS", "BinariesError", "CancelledError", "Program", "Progress", "ensure", "gateway_definitions"]
