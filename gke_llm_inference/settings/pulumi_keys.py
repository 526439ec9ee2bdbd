"""Names by which Pulumi knows this project's configuration."""

PROJECT = "gke-llm-inference"
"""Name of the Pulumi project, the namespace of its config keys."""
TOKEN_KEY = "huggingFaceToken"  # noqa: S105 the key's name, not a token
"""Config key of the Hugging Face token; always encrypted."""
API_KEY_NAME = "apiKey([A-Z0-9][A-Za-z0-9]{0,49})?"
"""Pattern of config keys of servers' API keys, such as apiKey and apiKey2; always encrypted."""
BASE_KEY = "base"
"""Config key of the path of the base file, whose settings the stack's own are merged over."""
