"""`python -m local.engine up|status|down --stack NAME`."""

import os
import signal
import sys

_INTERRUPTED = 130


def _leave(_number: int, _frame: object) -> None:
    # Nothing has been touched yet, and an exception in the middle of an import is a page of text.
    os.write(2, b"error: interrupted; nothing was done yet\n")
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    # Whoever started this in the background may have had it ignore interrupts.
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if not ignored:
        signal.signal(signal.SIGINT, _leave)

    from local.engine.cli import main

    code = main(on_begin=None if ignored else lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    sys.stdout.flush()
    sys.stderr.flush()
    # Whatever a stopped engine left waiting in this process must not keep it alive.
    os._exit(code)
