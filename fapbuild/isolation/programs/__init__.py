"""Programs that start the code of packages and asset steps: run by path, with the standard library alone."""
