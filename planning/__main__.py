"""`python -m planning presets`: prints the matrix of presets in Markdown."""

import argparse
import sys

from planning.matrix import markdown_matrix


def main() -> None:
    """Print what is asked for on standard output."""
    parser = argparse.ArgumentParser(prog="python -m planning", description=__doc__)
    parser.add_argument("what", choices=["presets"])
    parser.parse_args()
    sys.stdout.write(markdown_matrix())


if __name__ == "__main__":
    main()
