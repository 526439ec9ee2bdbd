"""What changes between two revisions of a stack: `python -m gke_llm_inference diff`, without cloud or credentials."""
