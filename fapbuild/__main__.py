"""`python -m fapbuild`: the same as the command `fapbuild`."""

from fapbuild.cli import main

main()
