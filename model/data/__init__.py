"""What is learned from: labelled clips, what is looked at of them, and what the encoders see."""
