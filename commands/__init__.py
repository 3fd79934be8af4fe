"""What `make` calls, each as `python -m commands.<name>`; --help says what each takes."""
