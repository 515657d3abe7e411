"""From fapistrano's deploy.yml to that of faprelease: most keys stay, lines that build on hosts become
comments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import msgspec
import yaml

from faprelease.config import yaml_text
from faprelease.config.plugin_names import ALWAYS, BUILT_IN
from faprelease.config.settings import Settings
from faprelease.config.target import PLACES
from faprelease.errors import ConfigError
from faprelease.migrate.findings import AssetStep, Build, Finding, Migration, Verdict

_PREFIX = re.compile(r"^fapistrano\.(plugins\.)?")
_FETCHES = re.compile(r"\b(pip3?|uv|npm|yarn)\s+(pip\s+)?(install|ci|sync)\b")
_REQUIREMENTS = ("virtualenv_requirements", "virtualenvwrapper_requirements")
_COMMIT = "fapbuild packs the commit that CI checked out, and records it in the artifact"
_VENV = "the artifact contains its wheels, and install.sh creates venv/ from them, offline"
_ASSETS = "compiled once, in the build: see [[assets]] in fapbuild.toml"
_SSH = "an ssh setting: put it into ~/.ssh/config, which faprelease reads"
_AT_ONCE = "faprelease releases to all hosts at the same time, or in batches (`batch`)"

_PLUGINS: dict[str, tuple[Verdict, str]] = {
    "git": ("build", _COMMIT),
    "virtualenv": ("build", _VENV),
    "virtualenvwrapper": ("build", _VENV),
    "virtualenvtools": ("build", _VENV),
    "fis": ("build", _ASSETS),
    "webpack": ("build", _ASSETS),
    "git2slack": ("dropped", "the slack plugin reports the released version"),
}
_KEYS: dict[str, tuple[Verdict, str]] = {
    "repo": ("build", _COMMIT),
    "branch": ("build", "choose the commit when packing: fapbuild pack --ref NAME"),
    "git_archive_tree": ("build", "put fapbuild.toml into that folder and run fapbuild there"),
    "revision_file": ("dropped", ".fap/manifest.json contains the commit"),
    "repo_path": ("build", _COMMIT),
    "repo_head_path": ("build", _COMMIT),
    "env_role_configs": ("dropped", "fapistrano never used it; stage_role_configs replaces it"),
    "sudo_prefix": ("dropped", "faprelease becomes sudo_user with `sudo -n`"),
    "disable_known_hosts": (
        "dropped",
        "host keys are always checked: ssh-keyscan HOST >> ~/.ssh/known_hosts",
    ),
    "reject_unknown_hosts": ("dropped", "host keys are always checked"),
    "password": ("yours", "passwords in a file are not used: log in with a key or an agent"),
    "passwords": ("yours", "passwords in a file are not used: log in with a key or an agent"),
    "sudo_password": ("yours", "passwords in a file are not used: allow `sudo -n` for sudo_user"),
    "parallel": ("dropped", _AT_ONCE),
    "pool_size": ("dropped", _AT_ONCE),
    "warn_only": ("dropped", "a failed step stops the release and rolls it back"),
    "skip_bad_hosts": ("dropped", "an unreachable host stops the release before anything changes"),
    "roledefs": ("yours", "put stages and roles with their hosts into stage_role_configs"),
    **dict.fromkeys(
        [
            *("port", "key_filename", "key", "gateway", "forward_agent", "no_agent", "no_keys", "keepalive"),
            *("timeout", "connection_attempts", "ssh_config_path", "host_string"),
        ],
        ("dropped", _SSH),
    ),
    **dict.fromkeys(
        [
            *("colorize_errors", "linewise", "combine_stderr", "output_prefix", "echo_stdin", "shell"),
            *("use_shell", "always_use_pty", "abort_on_prompts", "eagerly_disconnect", "remote_interrupt"),
        ],
        ("dropped", "a setting of Fabric, which faprelease does not use"),
    ),
}
_PREFIXES: dict[str, tuple[Verdict, str]] = {
    "git_": ("build", _COMMIT),
    "virtualenv_": ("build", _VENV),
    "virtualenvwrapper_": ("build", _VENV),
    "virtualenvtools_": ("build", _VENV),
    "fis_": ("build", _ASSETS),
    "webpack_": ("build", _ASSETS),
}
_OWN_FOLDER = "/home/%(sudo_user)s/www/%(app_name)s-%(role)s"
_STORE = """
# What is released: the version promoted to the stage in a store, or any URL with --curl-url.
# store: s3://BUCKET/PREFIX
"""


@dataclass(frozen=True)
class _Entry:
    """One key of a mapping of settings, with its position in the text."""

    key: yaml.Node
    value: yaml.Node
    flow: bool
    """Whether it is written as `{key: value}`, within a line."""

    @property
    def name(self) -> str:
        return str(self.key.value)

    @property
    def last_line(self) -> int:
        first: int = self.key.start_mark.line
        return max(first, _last_line(self.value))


class _Text:
    """The lines of the file. Removed lines become comments; all others stay unchanged."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines = text.splitlines()
        self._added: dict[int, str] = {}

    def comment_out(self, first: int, last: int, column: int, note: str) -> None:
        for number in range(first, last + 1):
            line = self.lines[number]
            self.lines[number] = f"{line[:column]}# {line[column:]}" if line.strip() else line
        self.lines[first] += f"  # {note}"

    def empty(self, line: int, brackets: str) -> None:
        """Write an empty value for a key whose whole value was removed."""
        before, hash_sign, comment = self.lines[line].partition(" #")
        self.lines[line] = f"{before.rstrip()} {brackets}" + (f"  #{comment}" if hash_sign else "")

    def replace_list(self, node: yaml.SequenceNode, items: list[str]) -> None:
        """Replace a list that is written as `[a, b]`, in one line."""
        start, end = node.start_mark, node.end_mark
        if start.line != end.line:
            raise _flow(self.name, start.line)
        line = self.lines[start.line]
        self.lines[start.line] = f"{line[: start.column]}[{', '.join(items)}]{line[end.column :]}"

    def add_after(self, line: int, text: str) -> None:
        self._added[line] = text

    def whole(self) -> str:
        lines = [
            text
            for number, line in enumerate(self.lines)
            for text in (line, *([self._added[number]] if number in self._added else []))
        ]
        return "\n".join(lines).rstrip("\n") + "\n"

    def where(self, line: int) -> str:
        return f"{self.name}, line {line + 1}"


def migrate(name: str, text: str) -> Migration:
    """Migrate a deploy.yml of fapistrano, which is called `name` in the report.

    Raises ConfigError if it is not a YAML mapping, or must be changed inside `{…}`.
    """
    document = yaml_text.Document(text, name)
    root = document.node
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{name} contains no settings", hint="give fapistrano's deploy.yml")
    lines = _Text(name, text)
    known = _known_keys()
    findings: list[Finding] = []
    for parent, mapping in _mappings(root):
        remaining = 0
        for entry in _entries(mapping):
            decision = _decide(entry, known)
            if decision is None:
                remaining += 1
                findings += _plugins(lines, entry) if entry.name.endswith("plugins") else []
                if not entry.name.endswith("plugins") and entry.name != "stage_role_configs":
                    findings.append(Finding(lines.where(entry.key.start_mark.line), entry.name, "kept"))
                continue
            if entry.flow:
                raise _flow(name, entry.key.start_mark.line)
            verdict, why = decision
            first = entry.key.start_mark.line
            findings.append(Finding(lines.where(first), entry.name, verdict, why))
            lines.comment_out(first, entry.last_line, entry.key.start_mark.column, _note(verdict))
        if not remaining and parent is not None and mapping.value:
            lines.empty(parent.start_mark.line, "{}")
    values = document.value()
    findings += _own_folders(lines, root, values)
    return Migration(
        deploy=lines.whole() + ("" if "store" in values else _STORE),
        build=_build(values),
        findings=tuple(sorted(findings, key=_line)),
    )


def _line(finding: Finding) -> int:
    return int(finding.where.rpartition(" ")[2])


def _known_keys() -> set[str]:
    modules = [import_module(f"faprelease.plugins.{name}") for name in ALWAYS]
    modules += [import_module(f"faprelease.plugins.{name}") for name in BUILT_IN]
    kinds: list[type[msgspec.Struct]] = [Settings, *(m.Options for m in modules if hasattr(m, "Options"))]
    return {"stage_role_configs", *PLACES} | {name for kind in kinds for name in kind.__struct_fields__}


def _mappings(root: yaml.MappingNode) -> Iterator[tuple[yaml.Node | None, yaml.MappingNode]]:
    """Every mapping of settings, with its key: the top, and each role of each stage."""
    yield None, root
    for key, stages in root.value:
        if key.value == "stage_role_configs" and isinstance(stages, yaml.MappingNode):
            for _, roles in stages.value:
                for role, settings in roles.value if isinstance(roles, yaml.MappingNode) else ():
                    if isinstance(settings, yaml.MappingNode):
                        yield role, settings


def _entries(mapping: yaml.MappingNode) -> Iterator[_Entry]:
    for key, value in mapping.value:
        if key.value != "<<":
            yield _Entry(key, value, bool(mapping.flow_style))


def _decide(entry: _Entry, known: set[str]) -> tuple[Verdict, str] | None:
    """The verdict on a key and its reason; None if it stays."""
    name, value = entry.name, entry.value
    if name in _KEYS:
        return _KEYS[name]
    for prefix, verdict in _PREFIXES.items():
        if name.startswith(prefix) and name not in known:
            return verdict
    if name == "curl_postinstall_script" and _FETCHES.search(str(value.value)):
        return "build", _VENV
    if name in known or name.startswith("x-"):
        return None
    return "yours", "not a key of faprelease; if your plugin reads it, add it to the plugin's Options"


def _plugins(lines: _Text, entry: _Entry) -> list[Finding]:
    """The findings for each plugin of a list. Removed plugins become comments, like keys."""
    items = entry.value.value if isinstance(entry.value, yaml.SequenceNode) else []
    findings: list[Finding] = []
    kept: list[str] = []
    removed: list[tuple[yaml.Node, Verdict]] = []
    for item in items:
        verdict, why = _plugin(str(item.value))
        findings.append(Finding(lines.where(item.start_mark.line), f"plugin {item.value}", verdict, why))
        if verdict == "kept":
            kept.append(str(item.value))
        else:
            removed.append((item, verdict))
    if removed and isinstance(entry.value, yaml.SequenceNode) and entry.value.flow_style:
        lines.replace_list(entry.value, kept)
        return findings
    for item, verdict in removed:
        line = item.start_mark.line
        column = len(lines.lines[line]) - len(lines.lines[line].lstrip())
        lines.comment_out(line, line, column, _note(verdict))
    if removed and not kept:
        lines.empty(entry.key.start_mark.line, "[]")
    return findings


def _plugin(name: str) -> tuple[Verdict, str]:
    bare = _PREFIX.sub("", name)
    if bare in BUILT_IN or bare in ALWAYS:
        return "kept", ""
    for kind, verdict in _PLUGINS.items():
        if re.search(rf"(^|[._-]){kind}$", bare):
            return verdict
    return (
        "yours",
        "your own plugin: turn its init() into hooks that return steps; see docs/reference/plugins.md",
    )


def _own_folders(lines: _Text, root: yaml.MappingNode, values: dict[str, Any]) -> Iterator[Finding]:
    """Roles with the same host and folder overwrote each other; the later one gets its own folder."""
    for stage, roles in _table(values, "stage_role_configs").items():
        taken: dict[tuple[str, str], str] = {}
        for role, settings in roles.items() if isinstance(roles, dict) else ():
            layer = {**values, **(settings or {})}
            folder = str(layer.get("path") or layer.get("app_name"))
            hosts = [str(host) for host in layer.get("hosts") or []]
            other = next((taken[host, folder] for host in hosts if (host, folder) in taken), "")
            taken |= {(host, folder): str(role) for host in hosts}
            if not other:
                continue
            key, node = _role_node(root, str(stage), str(role))
            where = lines.where(key.start_mark.line)
            if "%(role)s" in folder or not isinstance(node, yaml.MappingNode) or node.flow_style:
                yield Finding(
                    where, str(role), "yours", f"shares a host and a folder with {other}: set a path for it"
                )
                continue
            indent = " " * node.value[0][0].start_mark.column
            lines.add_after(key.start_mark.line, f"{indent}path: {_OWN_FOLDER}")
            yield Finding(
                where,
                "path",
                "changed",
                f"{role} and {other} shared a host and a folder; now each has its own folder",
            )


def _role_node(root: yaml.MappingNode, stage: str, role: str) -> tuple[yaml.Node, yaml.Node]:
    def inside(node: yaml.Node, name: str) -> tuple[yaml.Node, yaml.Node]:
        return next((key, value) for key, value in node.value if str(key.value) == name)

    _, stages = inside(root, "stage_role_configs")
    _, roles = inside(stages, stage)
    return inside(roles, role)


def _build(values: dict[str, Any]) -> Build:
    """The settings of the build, for the work that the hosts did."""
    stages = _table(values, "stage_role_configs").values()
    roles = [role for stage in stages if isinstance(stage, dict) for role in stage.values()]
    layers = [values, *(role for role in roles if isinstance(role, dict))]
    requirements = [str(layer[key]) for layer in layers for key in _REQUIREMENTS if layer.get(key)]
    plugins = {_PREFIX.sub("", str(name)) for layer in layers for name in layer.get("plugins") or []}
    if any("virtualenv" in name for name in plugins):
        requirements.append("requirements.txt")
    steps = []
    if any("fis" in name.split("_") for name in plugins):
        steps.append(_fis(values))
    if any("webpack" in name for name in plugins):
        steps.append(AssetStep("webpack", ("npm ci", "npx webpack --mode production")))
    return Build(
        app=str(values.get("project_name") or values.get("app_name") or "NAME"),
        requirements=_in_the_tree(requirements[0]) if requirements else "",
        assets=tuple(steps),
    )


def _fis(values: dict[str, Any]) -> AssetStep:
    flags = [f"--{name}" for name in ("md5", "optimize", "pack") if values.get(f"fis_{name}", True)]
    flags += ["--domains"] if values.get("fis_domains") else []
    dest = str(values.get("fis_dest", ""))
    command = ["fis release", f"--file {values.get('fis_conf', 'fis-conf.js')}", f"--dest {dest}", *flags]
    return AssetStep(
        "fis", (" ".join(command),), (_in_the_tree(dest),) if dest else (), str(values.get("fis_source", ""))
    )


def _in_the_tree(path: str) -> str:
    return re.sub(r"^%\(\w+\)s/", "", path)


def _table(values: dict[str, Any], key: str) -> dict[str, Any]:
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _last_line(node: yaml.Node) -> int:
    """The last line of a value. PyYAML ends a block only where the next one begins."""
    children = []
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode) and not node.flow_style:
        children = node.value
    if children:
        return max(_last_line(child) for child in children)
    end = node.end_mark
    last: int = end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line
    return last


def _note(verdict: Verdict) -> str:
    return {"build": "→ build", "dropped": "→ dropped", "yours": "→ yours to decide"}.get(verdict, verdict)


def _flow(name: str, line: int) -> ConfigError:
    return ConfigError(
        f"{name}, line {line + 1}: something to remove shares a line with something to keep",
        hint="write one key or item per line, then migrate again",
    )
