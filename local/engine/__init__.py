"""Runs stacks with the real Pulumi engine; the local stack needs nothing but this machine."""
