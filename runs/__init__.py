"""A run: its folder, the steps that fill it, and many of them in processes of their own."""
