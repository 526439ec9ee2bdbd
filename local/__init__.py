"""Development on this machine only: a simulated GKE, the real engine on it, and the programs that both need."""
