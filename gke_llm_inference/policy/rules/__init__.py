"""The policies, by what they are about."""
