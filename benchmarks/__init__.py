"""Timings and memory; not part of the tests, as they depend on the machine."""
