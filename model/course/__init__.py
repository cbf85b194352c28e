"""From clips to a model that can be served: what `kinema train` does."""
