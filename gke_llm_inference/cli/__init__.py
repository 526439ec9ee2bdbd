"""The command `gke-llm-inference`: one module for each subcommand."""
