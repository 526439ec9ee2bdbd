"""What is watched: which metrics are collected of which server, and what raises an alert."""
