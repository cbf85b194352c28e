"""What each cell does about vanishing gradients."""
