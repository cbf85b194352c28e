"""How hard properties are tried: a bounded number of examples, the same on every run, however slow the machine."""

from hypothesis import settings

settings.register_profile("kinema", max_examples=60, deadline=None, derandomize=True, database=None)
settings.load_profile("kinema")
