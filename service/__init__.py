"""Kinema's service: a clip goes in over HTTP, ranked actions come out."""
