"""How finished models are judged: on labelled clips, on strangers, and side by side."""
