"""`python -m gke_llm_inference`: the command of the package."""

import sys

from gke_llm_inference.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
