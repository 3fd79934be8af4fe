"""What the words of a template say: a vector for each."""
