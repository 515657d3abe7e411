"""The variables of a release: where deploy.yml says their values come from, and `.env`, the file of them.

Values are asked for here, on the controller, once a run, and travel to the hosts on a step's standard input.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from faprelease.errors import ConfigError, UnreachableError, together
from faprelease.steps import redaction
from faprelease.steps.model import Secret

COMMAND_SECONDS = 120
"""How long a command may take to print a value; a person may have to unlock something for it."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_PARAMETERS = 10
"""How many parameters one call of SSM's GetParameters may ask for."""


SOURCES = (
    "{env: NAME}, {file: PATH}, {command: [pass, show, x]}, {ssm: /name}, {secret: name}"
    " or {secret: name, key: entry}"
)
"""Where a value may come from, for hints."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where one value comes from: exactly one of the first five."""

    env: str = ""
    """A variable of who releases."""
    file: str = ""
    """A file's contents, less one newline at their end; relative to deploy.yml."""
    command: tuple[str, ...] = ()
    """What a command prints, less one newline at its end; it runs in the folder of deploy.yml."""
    ssm: str = ""
    """A parameter of AWS Systems Manager, decrypted."""
    secret: str = ""
    """A secret of AWS Secrets Manager, by name or ARN."""
    key: str = ""
    """The one entry to take of a `secret` that is a JSON object."""

    def __str__(self) -> str:
        """As deploy.yml says it."""
        said = msgspec.to_builtins(self)
        parts = ", ".join(f"{kind}: {_plain(value)}" for kind, value in said.items())
        return f"{{{parts}}}"


def _plain(value: Any) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, list | tuple) else str(value)


Value = str | int | float | bool | Source


class Resolved(str):
    """A value that was asked for; it does not show in tracebacks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def problems(values: Mapping[str, Value], written: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with an `environment`: name, what is said of it, and a hint. `written` is how the file
    spells values that are no text."""
    for name, value in values.items():
        if not _NAME.fullmatch(name):
            yield name, f"{name!r} is not a valid name for a variable", "use letters, digits and _"
        if isinstance(value, Source):
            kinds = [kind for kind in ("env", "file", "command", "ssm", "secret") if getattr(value, kind)]
            if len(kinds) != 1:
                yield (
                    name,
                    f"{name} has {len(kinds)} sources for its value, not one",
                    f"give one of {SOURCES}",
                )
            elif value.key and not value.secret:
                yield name, f"{name}: `key` needs a `secret`", f"give one of {SOURCES}"
        elif isinstance(value, str):
            if "\0" in value:
                yield name, f"{name} contains a NUL character", "remove it: no variable can contain NUL"
        elif written.get(name, text(value)).lower() != text(value):
            said = f"{name}: YAML reads {written[name]} as {text(value)}"
            yield name, said, f'put quotes around it: {name}: "{written[name]}"'


def resolve(
    environments: Iterable[tuple[Mapping[str, Value], Mapping[str, str]]], folder: Path
) -> list[dict[str, str]]:
    """Ask for the values of each environment, each source once; `folder` is that of deploy.yml.

    Beside each stands where its variables are said. Raises ConfigError for all values that are not there, at
    once; UnreachableError if AWS can't be asked.
    """
    environments = list(environments)
    wanted: dict[Source, str] = {}
    for values, origins in environments:
        for name, value in values.items():
            if isinstance(value, Source):
                wanted.setdefault(value, f"{origins.get(f'environment.{name}', 'environment')}: {name}")
    found, missing = _ask(wanted, folder)
    if missing:
        raise together(missing)
    resolved = [
        {name: found[value] if isinstance(value, Source) else text(value) for name, value in values.items()}
        for values, _ in environments
    ]
    redaction.remember(value for values in resolved for value in values.values())
    return resolved


def _ask(wanted: Mapping[Source, str], folder: Path) -> tuple[dict[Source, Resolved], list[ConfigError]]:
    found: dict[Source, Resolved] = {}
    missing: list[ConfigError] = []
    answers = _from_ssm([source.ssm for source in wanted if source.ssm])
    for source, where in wanted.items():
        try:
            value = _value(source, where, folder, answers)
        except ConfigError as error:
            missing.append(error)
            continue
        if "\0" in value:
            missing.append(
                ConfigError(
                    f"{where} contains a NUL character", hint="remove it: no variable can contain NUL"
                )
            )
        found[source] = Resolved(value)
    return found, missing


def _value(source: Source, where: str, folder: Path, parameters: Mapping[str, str]) -> str:
    if source.env:
        if source.env not in os.environ:
            raise ConfigError(
                f"{where}: environment variable {source.env} is not set", hint=f"export {source.env}=…"
            )
        return os.environ[source.env]
    if source.file:
        try:
            return _as_text((folder / Path(source.file).expanduser()).read_bytes())
        except OSError as error:
            raise ConfigError(
                f"{where}: can't read {source.file}: {error.strerror}", hint=f"ls -l {folder / source.file}"
            ) from None
    if source.command:
        return _output_of(source.command, where, folder)
    if source.ssm:
        if source.ssm not in parameters:
            raise ConfigError(
                f"{where}: SSM has no parameter {source.ssm}",
                hint=f"aws ssm put-parameter --type SecureString --name {shlex.quote(source.ssm)} --value …",
            )
        return parameters[source.ssm]
    return _from_secrets_manager(source, where)


def _output_of(command: tuple[str, ...], where: str, folder: Path) -> str:
    """What a command prints. It has the terminal for questions, and what it complains of is seen there."""
    line = shlex.join(command)
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=None if sys.stdin and sys.stdin.isatty() else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"{where}: {line}: did not end within {COMMAND_SECONDS} s", hint=f"run it by hand: {line}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{where}: {line}: {error.strerror}", hint=f"run it by hand: {line}") from None
    if done.returncode:
        raise ConfigError(f"{where}: {line}: exit code {done.returncode}", hint=f"run it by hand: {line}")
    return _as_text(done.stdout)


def _as_text(data: bytes) -> str:
    return os.fsdecode(data.removesuffix(b"\n"))


def _from_ssm(names: list[str]) -> dict[str, str]:
    """The values of parameters by name; those that are not there are left out."""
    found: dict[str, str] = {}
    for first in range(0, len(names), _MOST_PARAMETERS):
        asked = list(dict.fromkeys(names[first : first + _MOST_PARAMETERS]))
        answer = _ask_aws("ssm", "get_parameters", asked[0], Names=asked, WithDecryption=True)
        for each in answer["Parameters"]:
            # It was asked for by its name, that with a version or label, or its ARN.
            for name in (each["Name"], each["Name"] + each.get("Selector", ""), each["ARN"]):
                found[name] = each["Value"]
    return found


def _from_secrets_manager(source: Source, where: str) -> str:
    answer = _ask_aws("secretsmanager", "get_secret_value", where, SecretId=source.secret)
    value: str = answer["SecretString"] if "SecretString" in answer else os.fsdecode(answer["SecretBinary"])
    if not source.key:
        return value
    try:
        entry = msgspec.json.decode(value, type=dict[str, Any])[source.key]
    except (msgspec.MsgspecError, KeyError):
        entry = None
    if not isinstance(entry, str | int | float | bool):
        raise ConfigError(
            f"{where}: the secret {source.secret} has no entry {source.key} with a single value",
            hint="leave out `key` to use the whole secret",
        )
    return text(entry)


def _ask_aws(service: str, call: str, where: str, **arguments: Any) -> dict[str, Any]:
    """One call of AWS, with the credentials, region and endpoint that boto3 finds."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise ConfigError(f"{where}: reading from AWS needs boto3", hint="pip install 'fapkit[s3]'") from None
    patience = Config(connect_timeout=10, read_timeout=20, retries={"mode": "standard", "max_attempts": 3})
    try:
        client = boto3.client(service, config=patience)  # type: ignore[call-overload]
        answer: dict[str, Any] = getattr(client, call)(**arguments)
    except ClientError as error:
        problem = error.response.get("Error", {})
        raise ConfigError(
            f"{where}: {service}: {problem.get('Code')}: {problem.get('Message')}",
            hint="check your identity and region: aws sts get-caller-identity; echo $AWS_REGION",
        ) from None
    except BotoCoreError as error:
        raise UnreachableError(
            f"{where}: can't reach {service}: {error}", hint="check AWS_PROFILE, AWS_REGION and the network"
        ) from None
    return answer


def render(values: Mapping[str, str]) -> Secret:
    """One `NAME='value'` line each, quoted so that `set -a; . ./.env` gives every byte back."""
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    shown = "\n".join(f"{name}=***" for name in values)
    return Secret("\n".join(lines), shown, redaction.forms(values.values()))


def values_of(values: Mapping[str, Value]) -> dict[str, str] | None:
    """The values as the process will read them, None as long as one was not asked for."""
    if any(isinstance(value, Source) for value in values.values()):
        return None
    return {name: text(value) for name, value in values.items() if not isinstance(value, Source)}


def text(value: str | int | float | bool) -> str:
    """A value as the process will read it."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
