"""`python -m settings schema | reference`: prints the JSON schema of stack files or the config reference."""

import argparse
import json
import sys

from settings.reference import markdown_reference, stack_schema


def main() -> None:
    """Print what is asked for on standard output."""
    parser = argparse.ArgumentParser(prog="python -m settings", description=__doc__)
    parser.add_argument("what", choices=["schema", "reference"])
    if parser.parse_args().what == "schema":
        sys.stdout.write(json.dumps(stack_schema(), indent=2) + "\n")
    else:
        sys.stdout.write(markdown_reference())


if __name__ == "__main__":
    main()
