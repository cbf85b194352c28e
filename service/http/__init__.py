"""Routes, and what HTTP alone needs."""
