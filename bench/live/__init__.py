"""Measures live streams: a real server, real WebSockets, real frames. `python -m bench.live` runs it."""
