"""Raw log in, data folder out. Knows nothing of torch, of methods or of how sequences are judged."""
