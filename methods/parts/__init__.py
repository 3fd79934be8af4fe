"""What several detectors are built of: keys as numbers, one way to judge them, one loop to learn, one way to disk."""
