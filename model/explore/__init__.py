"""The page of `kinema explore`: what a bundle sees in a clip, and what happens inside its head."""
