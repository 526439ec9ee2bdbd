"""Tools that make the catalogue's files from what the servers' makers publish."""
