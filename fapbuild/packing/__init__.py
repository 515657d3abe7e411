"""`fapbuild pack` on one page, and everything an artifact holds beside the project's files."""
