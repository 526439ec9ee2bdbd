"""`python -m local.engine up|status|down --stack NAME`."""

import os
import sys

from local.engine.cli import main

if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Whatever a stopped engine left waiting in this process must not keep it alive.
    os._exit(code)
