"""How a server reads its model: from Hugging Face, a bucket, or a volume."""
