"""How much a reviewer should care about what a change causes."""

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How much a reviewer should care; the highest first in every list."""

    NOTE = 0
    UNCLEAR = 1
    WEAKENED = 2
    """A protection or a part of the capacity is lost, or more may reach something."""
    RESTARTS = 3
    REPLACED = 4
    REMOVED = 5
    STOPPED = 6
    """Nothing is left that serves."""
    OPENED = 7
    """The internet can reach what it could not."""


@dataclass(frozen=True)
class Effect:
    """What a change causes, as a sentence without its subject."""

    severity: Severity
    text: str
    down: bool = False
    """Whether a server is unavailable meanwhile."""
    gist: str = ""
    """The effect in a few words, for the verdict of the stack; empty where the number of resources says it."""
