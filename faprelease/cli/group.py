"""The command `faprelease` itself: what its verbs are added to."""

import click

KEYS = """
Every key of deploy.yml is also a flag, which wins over the file: --keep-releases 3, --hosts a,b.
A URL given as `-` is read from standard input; FAP_CURL_URL does the same without an argument.

\b
Exit codes: 0 done or nothing to do, 1 failed and nothing changed, 2 usage or configuration, 3 partly done
or drift, 4 failed and rolled back, 5 lock held, 6 verification failed, 7 cannot connect, 130 interrupted.
"""


class _DefaultVerb(click.Group):
    """`faprelease production web` is `faprelease release production web`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help", "--version"):
            args = ["release", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DefaultVerb, epilog=KEYS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fapkit")
def cli() -> None:
    """Release artifacts to plain servers, and roll back.

    \b
      faprelease --curl-url URL production web    this artifact, to production's web hosts
      faprelease production                       what the stage's log says, to all its roles
      faprelease rollback production web          the last release that was good
      faprelease status production                what runs where

    `release` is the default command.
    """
