"""`kinema import`: wraps a graph that somebody else exported into a bundle."""
