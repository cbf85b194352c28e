"""A run: what it is asked, what it decides, what it finds, and the directory that keeps all of it."""
