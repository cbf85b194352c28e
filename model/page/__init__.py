"""What pages are made of: HTML and drawings."""
