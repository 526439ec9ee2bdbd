"""How servers are reached from outside of the cluster, and by whom."""
