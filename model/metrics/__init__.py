"""How good answers are, in numbers."""
