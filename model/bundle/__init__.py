"""From a finished run to a directory that can be served."""
