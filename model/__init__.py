"""How Kinema's models are made: training, evaluation, export. Serving needs none of it."""
