"""`python -m preview`: see `preview.cli`."""

import sys

from preview.bytecode import use_cache

if __name__ == "__main__":
    use_cache()
    from preview.cli import main

    sys.exit(main())
