"""How images come to the nodes through Artifact Registry."""
