"""Adapters of a server: how its version is told of them, how pods get them, and what stands against them."""
