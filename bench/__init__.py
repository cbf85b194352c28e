"""Measures the service beside the bound of the same work in a bare loop. `scripts/bench` runs it."""
