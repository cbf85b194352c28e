"""From the bytes of a clip to the pictures that encoders read."""
