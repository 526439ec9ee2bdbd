"""A simulated GKE on this machine: a real control plane, simulated nodes and pods."""
