"""The command `faprelease`; each other module here adds its verbs."""

from collections.abc import Iterator
from copy import copy

import click
from click.shell_completion import CompletionItem

from artifact_store.core import text
from faprelease.cli.completion import complete_flag, complete_stage

KEYS = """
Every key of deploy.yml is also a flag, and the flag wins: --keep-releases 3,
--hosts 'web*', --no-use-ssh-config. `faprelease config --keys` lists them.
`--curl-url -` reads the URL from standard input; FAP_CURL_URL sets it without
an argument.

\b
Exit codes:
  0    done, or nothing to do
  1    failed, nothing changed
  2    wrong usage or configuration
  3    partly done, or hosts differ
  4    failed and rolled back
  5    locked by another run, or frozen
  6    verification failed
  7    a host or the store can't be reached
  130  interrupted
"""


def echo(line: str, *, err: bool = False) -> None:
    """Print text for people, without control characters: much of it comes from hosts and files of others."""
    click.echo(text.plain(line), err=err)


class _Verb(click.Command):
    """A command that offers keys of deploy.yml as flags where the shell completes them."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        takes_keys = self.context_settings.get("ignore_unknown_options")
        return [*found, *complete_flag(ctx, incomplete)] if takes_keys else found


class _DefaultVerb(click.Group):
    """`faprelease production web` is `faprelease release production web`."""

    command_class = _Verb

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [*super().shell_complete(ctx, incomplete), *complete_stage(ctx, incomplete)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = list(_without_values(args))
        before = self._options_before(args)
        if args[before : before + 1] and args[before] in self.commands:
            args = [args[before], *args[:before], *args[before + 1 :]]
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help", "--version"):
            args = ["release", *args]
        return super().parse_args(ctx, args)

    def _options_before(self, args: list[str]) -> int:
        """The number of leading words that are options of verbs, with their values: a verb may follow them.
        An option of `release` has its meaning there."""
        verbs = sorted(self.commands.values(), key=lambda verb: verb.name == "release")
        takes_value = {
            name: not option.is_flag
            for verb in verbs
            for option in verb.params
            if isinstance(option, click.Option)
            for name in (*option.opts, *option.secondary_opts)
        }
        count = 0
        while count < len(args) and args[count].partition("=")[0] in takes_value:
            name, equals, _ = args[count].partition("=")
            count += 2 if takes_value[name] and not equals else 1
        return count


def _without_values(args: list[str]) -> Iterator[str]:
    """`--dry-run=true` and `--dry-run true`, as fapistrano has them, are `--dry-run`."""
    rest = list(args)
    while rest:
        word = rest.pop(0)
        name, _, value = word.partition("=")
        if name == "--dry-run" and value == "" and rest and rest[0] in ("true", "false"):
            value = rest.pop(0)
        if name != "--dry-run" or value not in ("true", "false"):
            yield word
        elif value == "true":
            yield name


@click.group(
    "faprelease", cls=_DefaultVerb, epilog=KEYS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="fapkit")
def cli() -> None:
    """Release artifacts to plain servers, and roll back.

    \b
      faprelease --curl-url URL production web  release this artifact
      faprelease production                     release what was promoted
      faprelease plan production                show what that would change
      faprelease rollback production web        roll back to the last good release
      faprelease status production              show what runs where

    `release` is the default command.
    """


def add_renamed(old: str, verb: click.Command) -> None:
    """Accept a verb by its old name too, which no help shows."""
    renamed = copy(verb)
    renamed.name, renamed.hidden = old, True
    cli.add_command(renamed)
