"""Names in a pod that are this project's own."""

CACHE_VOLUME = "cache"
SHARED_MEMORY_VOLUME = "shared-memory"
MODEL_VOLUME = "model"
API_KEYS_VOLUME = "api-keys"
COMPILE_CACHE_VOLUME = "compile-cache"
OWN_VOLUMES = (CACHE_VOLUME, SHARED_MEMORY_VOLUME, MODEL_VOLUME, API_KEYS_VOLUME, COMPILE_CACHE_VOLUME)
"""Names of the volumes that the plan makes."""
SHARED_MEMORY_PATH = "/dev/shm"  # noqa: S108 the kernel's own path
"""Where processes share memory."""
OWN_ANNOTATIONS = "llm-inference/"
"""What the names of annotations begin with that restart pods."""
OVERRIDES_ANNOTATION = f"{OWN_ANNOTATIONS}pod-overrides"
"""Annotation of a Deployment that lists what its podPatch overrides."""
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""The name that vLLM, TGI's launcher and huggingface_hub read, and the one that older versions read."""
SERVER_PORT = "http"
"""Name of the port that the server listens at."""
SERVER_CONTAINER = "inference-server"
"""Name of the server's container."""
ADAPTERS_CONTAINER = "adapters"
"""Name of the container that downloads a server's adapters."""
