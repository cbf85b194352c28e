"""How heads and encoders are trained, and how heads are tested by cross-validation."""
