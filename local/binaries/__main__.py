"""`python -m local.binaries NAME...` prints where the programs are, and builds those that are missing."""

import argparse
import sys

from local.binaries import PROGRAMS, BinariesError, ensure


def main() -> int:
    """Print name and path of each program."""
    parser = argparse.ArgumentParser(
        prog="python -m local.binaries", description="Finds programs, or builds them with Go."
    )
    parser.add_argument("names", nargs="+", choices=sorted(PROGRAMS), metavar="NAME", help=", ".join(sorted(PROGRAMS)))
    try:
        paths = ensure(parser.parse_args().names, lambda line: print(line, file=sys.stderr, flush=True))
    except BinariesError as error:
        print(error, file=sys.stderr)
        return 1
    for name, path in paths.items():
        print(f"{name} {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
