"""What changes between two revisions of a stack: `python -m preview diff`, without cloud or credentials."""
