"""Other servers of the same model, each written as its own documentation would have it.

Every one has an environment of its own, which `scripts/peers` makes, and shares nothing with the others but `work.py`.
"""
