"""The environment variables of a release: the sources of their values, and the `.env` file.

The values are resolved here, on the controller, once per run. They go to the hosts on the standard input of a
step.
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
"""The time limit of a command that prints a value; a person may have to unlock something for it."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_PARAMETERS = 10
"""The most parameters that one call of SSM's GetParameters accepts."""


SOURCES = (
    "{env: NAME}, {file: PATH}, {command: [pass, show, x]}, {ssm: /name}, {secret: name}"
    " or {secret: name, key: entry}"
)
"""The sources of a value, for hints."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The source of one value: exactly one of the first five fields is set."""

    env: str = ""
    """The name of an environment variable on the controller."""
    file: str = ""
    """The path of a file, relative to deploy.yml; one newline at the end of its contents is removed."""
    command: tuple[str, ...] = ()
    """A command whose output is the value, without one newline at the end. It runs in the folder of
    deploy.yml."""
    ssm: str = ""
    """The name of a parameter of AWS Systems Manager, which is decrypted."""
    secret: str = ""
    """The name or ARN of a secret of AWS Secrets Manager."""
    key: str = ""
    """The entry to use, if the `secret` is a JSON object."""

    def __str__(self) -> str:
        """The source as deploy.yml spells it."""
        fields = msgspec.to_builtins(self)
        parts = ", ".join(f"{kind}: {_plain(value)}" for kind, value in fields.items())
        return f"{{{parts}}}"


def _plain(value: Any) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, list | tuple) else str(value)


Value = str | int | float | bool | Source


class Resolved(str):
    """A resolved value. Its repr does not show it, so tracebacks don't either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def problems(values: Mapping[str, Value], written: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the problems of an `environment`, as name, message and hint. `written` has the spelling of values
    that are not strings."""
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
            message = f"{name}: YAML reads {written[name]} as {text(value)}"
            yield name, message, f'put quotes around it: {name}: "{written[name]}"'


def resolve(
    environments: Iterable[tuple[Mapping[str, Value], Mapping[str, str]]], folder: Path
) -> list[dict[str, str]]:
    """Return each environment with its values; every source is read once.

    Each environment comes with the places where its variables are set. `folder` is that of deploy.yml. Raises
    one ConfigError for all values that are missing, UnreachableError if AWS can't be reached.
    """
    environments = list(environments)
    places: dict[Source, str] = {}
    for values, origins in environments:
        for name, value in values.items():
            if isinstance(value, Source):
                places.setdefault(value, f"{origins.get(f'environment.{name}', 'environment')}: {name}")
    answers, missing = _ask(places, folder)
    if missing:
        raise together(missing)
    resolved = [
        {name: answers[value] if isinstance(value, Source) else text(value) for name, value in values.items()}
        for values, _ in environments
    ]
    redaction.remember(value for values in resolved for value in values.values())
    return resolved


def _ask(wanted: Mapping[Source, str], folder: Path) -> tuple[dict[Source, Resolved], list[ConfigError]]:
    values: dict[Source, Resolved] = {}
    missing: list[ConfigError] = []
    parameters = _from_ssm([source.ssm for source in wanted if source.ssm])
    for source, where in wanted.items():
        try:
            value = _value(source, where, folder, parameters)
        except ConfigError as error:
            missing.append(error)
            continue
        if "\0" in value:
            missing.append(
                ConfigError(
                    f"{where} contains a NUL character", hint="remove it: no variable can contain NUL"
                )
            )
        values[source] = Resolved(value)
    return values, missing


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
    """The output of a command. It may ask questions on the terminal, and its errors are shown there."""
    line = shlex.join(command)
    try:
        process = subprocess.run(
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
    if process.returncode:
        raise ConfigError(f"{where}: {line}: exit code {process.returncode}", hint=f"run it by hand: {line}")
    return _as_text(process.stdout)


def _as_text(data: bytes) -> str:
    return os.fsdecode(data.removesuffix(b"\n"))


def _from_ssm(names: list[str]) -> dict[str, str]:
    """The values of SSM parameters by name, without those that don't exist."""
    values: dict[str, str] = {}
    for first in range(0, len(names), _MOST_PARAMETERS):
        batch = list(dict.fromkeys(names[first : first + _MOST_PARAMETERS]))
        answer = _ask_aws("ssm", "get_parameters", batch[0], Names=batch, WithDecryption=True)
        for parameter in answer["Parameters"]:
            # The request named it by its name, its name with a version or label, or its ARN.
            for name in (
                parameter["Name"],
                parameter["Name"] + parameter.get("Selector", ""),
                parameter["ARN"],
            ):
                values[name] = parameter["Value"]
    return values


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
    """Make one call to AWS, with the credentials, region and endpoint that boto3 finds."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise ConfigError(
            f"{where}: reading from AWS needs boto3",
            hint="add boto3 to the environment of fapkit (its extra s3): pip install boto3",
        ) from None
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
    """Return a `.env` file: one `NAME='value'` per line, quoted so that sh reads back every byte."""
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    shown = "\n".join(f"{name}=***" for name in values)
    return Secret("\n".join(lines), shown, redaction.forms(values.values()))


def values_of(values: Mapping[str, Value]) -> dict[str, str] | None:
    """The values as the process will read them; None if one of them is not resolved yet."""
    if any(isinstance(value, Source) for value in values.values()):
        return None
    return {name: text(value) for name, value in values.items() if not isinstance(value, Source)}


def text(value: str | int | float | bool) -> str:
    """A value as the process will read it."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
