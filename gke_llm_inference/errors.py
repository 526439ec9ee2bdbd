"""The failures a command can end in before it has begun; each becomes a message and an exit code."""


class CommandError(Exception):
    """Base of every failure that the person at the keyboard can act on. Its text is safe to print."""


class UsageError(CommandError):
    """The command itself makes no sense (exit code 2)."""


class ConfigError(CommandError):
    """A project or stack file is missing, unreadable or wrong (exit code 1)."""
