"""Replicas that span several machines: which layers go where, what stands against it, and the LeaderWorkerSet."""
