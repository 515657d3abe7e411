"""`python -m faprelease`."""

from faprelease.cli import command

command()
