"""The networks, each with its configuration beside it."""
