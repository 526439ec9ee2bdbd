"""Prints what clients lose when a machine goes, as Markdown."""

from tests.drain.losses import report

if __name__ == "__main__":
    print(report())
