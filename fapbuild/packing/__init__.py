"""`fapbuild pack`, on one page, and what goes into an artifact beside the project's files."""
