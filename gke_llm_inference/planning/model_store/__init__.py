"""The store of models: what lies in the bucket, who reads it, and what copies it there."""
