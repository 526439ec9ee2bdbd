"""Pods that follow a server's load: what decides on their number, between which bounds, and how fast it changes."""
