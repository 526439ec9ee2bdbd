"""What Pulumi takes for the name of a project or a stack. Needs nothing but Python, as what the workflows run."""

import re

_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]{1,100}")


def is_name(text: str) -> bool:
    """Whether a project or a stack can have this name."""
    return _NAME.fullmatch(text) is not None
