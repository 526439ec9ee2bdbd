"""Ways in which Google provides a server's machines, in the order in which they are tried."""
