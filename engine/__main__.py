"""`python -m engine up|status|down --stack NAME`."""

import sys

from engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
