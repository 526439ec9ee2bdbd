"""Disks that nodes start with: which container images they hold, and who allows them on a cluster."""
