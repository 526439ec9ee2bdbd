"""The component provider as the engine starts it; what it serves is `gke_llm_inference.provider`."""

import sys
from pathlib import Path

# In a checkout the packages lie beside this directory; elsewhere the requirements have installed them.
_CHECKOUT = Path(__file__).resolve().parent.parent
if (_CHECKOUT / "gke_llm_inference").is_dir():
    sys.path[0] = str(_CHECKOUT)

from gke_llm_inference.provider.serve import main  # noqa: E402

main()
