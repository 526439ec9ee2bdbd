"""Tools that make the catalog's files from what the servers' makers publish."""
