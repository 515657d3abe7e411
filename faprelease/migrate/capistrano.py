"""Migration of the declarative part of a Capistrano 3 configuration: `set`, `append`, `server` and `role`.

Tasks are code; the report lists them. A role means something else there: in Capistrano it is a purpose of a
server, and a server gets one release for all its roles; here each role has its own release. So servers with
the same roles become one role.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from faprelease.migrate import ruby
from faprelease.migrate.findings import Build, Finding, Migration, Verdict

_CALL = re.compile(r"^(set|append|remove|server|role)(?:\s*\((.*)\)|\s+(.*))$")
_ANY_CALL = re.compile(r"^(\w+)")
_COMMIT = "fapbuild packs the commit that CI checked out, and records it in the artifact"
_SSH = "an ssh setting: put it into ~/.ssh/config, which faprelease reads"
_RUBY = "only for Ruby; an artifact contains its Python packages"
_OUTPUT = "-v shows every step and its output"

_NAMES = {"application": "app_name", "deploy_to": "path", "default_env": "environment"}
_SAME = ("keep_releases", "linked_files", "linked_dirs", "user")
_SETTINGS: dict[str, tuple[Verdict, str]] = {
    "repo_url": ("build", _COMMIT),
    "repository": ("build", _COMMIT),
    "scm": ("build", _COMMIT),
    "deploy_via": ("build", _COMMIT),
    "branch": ("build", "choose the commit when packing: fapbuild pack --ref NAME"),
    "repo_tree": ("build", "put fapbuild.toml into that folder and run fapbuild there"),
    "stage": ("kept", "the stage is named after its file"),
    "ssh_options": ("dropped", _SSH),
    "pty": ("dropped", "no step needs a terminal"),
    "use_sudo": ("dropped", "sudo_user owns the releases"),
    "format": ("dropped", _OUTPUT),
    "format_options": ("dropped", _OUTPUT),
    "log_level": ("dropped", _OUTPUT),
    "tmp_dir": ("dropped", "nothing is uploaded"),
    "local_user": ("dropped", "set FAP_WHO to record another name than the user's"),
    "rails_env": ("dropped", _RUBY),
    "migration_role": ("yours", "run migrations with release_command, once before the swap"),
}
_PREFIXES: dict[str, tuple[Verdict, str]] = {
    "git_": ("build", _COMMIT),
    "npm_": ("build", "compiled once, in the build: [[assets]] in fapbuild.toml"),
    "yarn_": ("build", "compiled once, in the build: [[assets]] in fapbuild.toml"),
    "nvm_": ("build", "compiled once, in the build: [[assets]] in fapbuild.toml"),
    "pip_": ("build", "the artifact contains its wheels"),
    "ssh_": ("dropped", _SSH),
    **dict.fromkeys(
        [
            *("rbenv_", "rvm_", "chruby_", "asdf_", "bundle_", "bundler_", "puma_", "unicorn_", "thin_"),
            *("passenger_", "sidekiq_", "resque_", "delayed_job_", "whenever_", "assets_", "rails_"),
        ],
        ("dropped", _RUBY),
    ),
}
_CALLS: dict[str, tuple[Verdict, str]] = {
    "lock": ("dropped", "the version of Capistrano"),
    "require": ("dropped", "Ruby code"),
    "load": ("dropped", "Ruby code"),
    "install_plugin": ("dropped", "Ruby code"),
    "ask": ("build", "choose the commit when packing: fapbuild pack --ref NAME"),
    "import": ("dropped", "Ruby code"),
}
_BLOCK_WHY = "code: move compiling to the build, restarts to a plugin, migrations to release_command"
_DEPLOY_TO = "/var/www/%(app_name)s"


@dataclass
class _Scope:
    """The settings of one file, over those of an outer one."""

    settings: dict[str, Any] = field(default_factory=dict)
    servers: dict[str, list[str]] = field(default_factory=dict)
    """The roles of each server, in the order of the file."""
    users: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def migrate(name: str, text: str, stages: Mapping[str, tuple[str, str]]) -> Migration:
    """Migrate a deploy.rb and its stages: for each, the name and text of `config/deploy/STAGE.rb`."""
    top = _read(name, text, {})
    deploy: dict[str, Any] = {"app_name": "NAME", "path": _DEPLOY_TO, **_ours(top.settings)}
    configs: dict[str, Any] = {}
    findings = list(top.findings)
    for stage, (file, content) in (stages or {"production": (name, "")}).items():
        scope = _read(file, content, {**top.settings, "stage": stage})
        own = {key: value for key, value in scope.settings.items() if value != top.settings.get(key)}
        servers = scope.servers or top.servers
        configs[stage], more = _roles(stage, file, servers, scope.users or top.users, _ours(own))
        findings += [*scope.findings, *more]
    deploy["stage_role_configs"] = configs
    application = str(top.settings.get("application", "NAME"))
    return Migration(
        deploy=_written(name, deploy),
        build=Build(app=re.sub(r"[^\w.-]+", "-", application).strip("-.") or "NAME"),
        findings=tuple(findings),
    )


def _read(name: str, text: str, outer: Mapping[str, Any]) -> _Scope:
    scope = _Scope(settings=dict(outer))
    for statement in ruby.statements(text):
        where = f"{name}, line {statement.line}"
        match = None if statement.block else _CALL.match(statement.text)
        if match is None:
            scope.findings.append(_other(where, statement))
            continue
        call, arguments = match[1], match[2] or match[3]
        try:
            listed, named = ruby.values(arguments, scope.settings.get)
            scope.findings.append(_apply(scope, where, call, listed, named))
        except ruby.CodeError:
            what = re.split(r",|\s", arguments, maxsplit=1)[0].lstrip(":")
            verdict = _known(what) if call in ("set", "append") else None
            scope.findings.append(
                Finding(where, what, *verdict)
                if verdict and verdict[0] != "kept"
                else Finding(where, what or call, "yours", f"its value needs Ruby: {statement.text[:60]}")
            )
    return scope


def _apply(scope: _Scope, where: str, call: str, listed: list[Any], named: dict[str, Any]) -> Finding:
    """Apply one declaration. Raises CodeError if it is not a declaration."""
    if call == "server" and listed:
        host = _host(scope, str(listed[0]), str(named.get("user", "")))
        roles = named.get("roles", named.get("role", []))
        for role in roles if isinstance(roles, list) else [roles]:
            _add(scope.servers, host, str(role))
        scope.servers.setdefault(host, [])
        return Finding(where, f"server {host}", "changed", "a host of its stage")
    if call == "role" and listed:
        role, *hosts = listed
        for each in ruby.as_list(hosts[0]) if hosts else []:
            _add(scope.servers, _host(scope, str(each), ""), str(role))
        return Finding(where, f"role {role}", "changed", "hosts of its stage")
    if not listed:
        raise ruby.CodeError(call)
    key, *values = listed
    if call == "set":
        value = named if named and not values else values[0] if values else None
    else:
        value = [*(scope.settings.get(str(key)) or []), *values]
        if call == "remove":
            value = [item for item in scope.settings.get(str(key)) or [] if item not in values]
    scope.settings[str(key)] = value
    return Finding(where, str(key), *(_known(str(key)) or ("dropped", "used only by tasks")))


def _known(key: str) -> tuple[Verdict, str] | None:
    if key in _NAMES:
        return "changed", f"`{_NAMES[key]}` in deploy.yml"
    if key in _SAME:
        return "kept", ""
    if key in _SETTINGS:
        return _SETTINGS[key]
    return next((verdict for prefix, verdict in _PREFIXES.items() if key.startswith(prefix)), None)


def _other(where: str, statement: ruby.Statement) -> Finding:
    if statement.block:
        return Finding(where, statement.text.removesuffix(" do"), "yours", _BLOCK_WHY)
    word = _ANY_CALL.match(statement.text)
    call = word[1] if word else statement.text
    if call in ("after", "before"):
        return Finding(where, statement.text[:60], "yours", _BLOCK_WHY)
    return Finding(where, statement.text[:60], *_CALLS.get(call, ("yours", "code")))


def _host(scope: _Scope, written: str, user: str) -> str:
    """The bare name of `user@host`; the user is stored in the scope."""
    before, at, host = written.rpartition("@")
    if user or at:
        scope.users[host] = user or before
    return host


def _add(servers: dict[str, list[str]], host: str, role: str) -> None:
    roles = servers.setdefault(host, [])
    if role not in roles:
        roles.append(role)


def _roles(
    stage: str, file: str, servers: dict[str, list[str]], users: dict[str, str], own: dict[str, Any]
) -> tuple[dict[str, Any], list[Finding]]:
    """The roles of a stage: servers with the same Capistrano roles become one role, named after the first."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for host, roles in servers.items():
        groups.setdefault(tuple(roles), []).append(host)
    result: dict[str, Any] = {}
    findings = []
    for names, hosts in groups.items():
        name = next((role for role in (*names, "-".join(names)) if role not in result), "") or "app"
        name = "app" if name == "all" else name
        logins = {users[host] for host in hosts if host in users}
        login = {"user": min(logins), "sudo_user": min(logins)} if len(logins) == 1 else {}
        result[name] = {"hosts": hosts, **login, **own}
        if len(names) > 1:
            why = f"servers with the roles {', '.join(names)} get one release: the role {name}"
            findings.append(Finding(file, f"roles of {', '.join(hosts)}", "changed", why))
        if len(logins) > 1:
            why = "its servers have different users: make a role for each user"
            findings.append(Finding(file, f"{stage} {name}", "yours", why))
    if not servers:
        result["app"] = {"hosts": ["app1.example.com"], **own}
        findings.append(Finding(file, stage, "yours", "it has no servers: add its hosts"))
    return result, findings


def _ours(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that deploy.yml has too, under their names there."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if key == "default_env" and isinstance(value, Mapping):
            variables = {str(name).upper(): text for name, text in value.items() if "$" not in str(text)}
            if variables:
                result["environment"] = variables
        elif key in _NAMES:
            result[_NAMES[key]] = value
        elif key == "user":
            result |= {"user": value, "sudo_user": value}
        elif key in _SAME and value not in (None, []):
            result[key] = value
    return result


def _written(name: str, deploy: dict[str, Any]) -> str:
    text = yaml.safe_dump(deploy, sort_keys=False, allow_unicode=True, width=100)
    head = f"# Migrated from {name}; `faprelease migrate` reported what happened to each line.\n"
    store = "# store: s3://BUCKET/PREFIX    releases the version promoted to the stage; or pass --curl-url\n"
    return f"{head}{store}{text}"
