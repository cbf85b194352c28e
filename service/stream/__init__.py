"""Live streams: frames come one by one, and what the recurrent head remembers of them lives on."""
