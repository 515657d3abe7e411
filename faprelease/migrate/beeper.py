"""From beeper.yml to fapbuild.toml, and a deploy.yml to fill in, since beeper only packed."""

from typing import Any

import yaml

from faprelease.config import yaml_text
from faprelease.errors import ConfigError
from faprelease.migrate.findings import AssetStep, Build, Finding, Migration, Verdict

_OWN_FOLDERS = ("$DATA_DIR", "$WORK_DIR", "$BUILD_DIR", "$DIST_DIR")
_DEPLOY = """\
# beeper only packed; this file says where the app runs.
app_name: {app}
# store: s3://BUCKET/PREFIX    releases the version promoted to the stage; or pass --curl-url

stage_role_configs:
  production:
    web:
      hosts: [web1.example.com] # put your hosts here
"""


def migrate(name: str, text: str) -> Migration:
    """Migrate a beeper.yml. Raises ConfigError if it is not a YAML mapping."""
    document = yaml_text.Document(text, name)
    root, values = document.node, document.value()
    if not isinstance(values, dict) or not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{name} contains no settings", hint="give beeper's beeper.yml")
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in root.value}
    app = str(values.get("application", "NAME"))
    findings = [
        Finding(f"{name}, line {line}", key, *_decide(key, values[key])) for key, line in lines.items()
    ]
    scripts = _list(values, "scripts") + _list(values, "postbuild")
    build = Build(
        app=app,
        requirements="requirements.txt" if values.get("language", "python") == "python" else "",
        only=tuple(_list(values, "manifest")),
        post_install=tuple(_list(values, "postinstall")),
        assets=(AssetStep("scripts", tuple(scripts)),) if scripts else (),
    )
    return Migration(deploy=_DEPLOY.format(app=app), build=build, findings=tuple(findings))


def _decide(key: str, value: Any) -> tuple[Verdict, str]:
    if key == "application":
        return "build", "`app` in fapbuild.toml, and `app_name` in deploy.yml"
    if key == "manifest":
        return (
            "build",
            "`exclude` in fapbuild.toml; fapbuild packs the committed files and the outputs of steps",
        )
    if key in ("scripts", "postbuild"):
        if any(folder in str(value) for folder in _OWN_FOLDERS):
            return (
                "yours",
                "these use beeper's folders; a step runs in the project's folder and lists its outputs",
            )
        return (
            "yours",
            "[[assets]] in fapbuild.toml: list the files and folders that they create as `outputs`",
        )
    if key == "postinstall" and any(folder in str(value) for folder in _OWN_FOLDERS):
        return (
            "yours",
            "`post_install` in fapbuild.toml; beeper's folders don't exist there: use files of the release",
        )
    if key == "postinstall":
        return "build", "`post_install` in fapbuild.toml; runs in the release's folder, without network"
    if key == "language" and value == "python":
        return "dropped", "fapbuild always packs Python"
    if key == "language":
        return "yours", "fapbuild packs only Python"
    if key == "python":
        return "build", "`target` in fapbuild.toml, if the hosts have another Python than the builder"
    if key in ("version", "format", "current_dir", "postinstall_commands"):
        return "dropped", "an artifact is a .tgz; its version is the time and id of the commit, or --version"
    return "yours", "not a key of beeper"


def _list(values: dict[str, Any], key: str) -> list[str]:
    value = values.get(key) or []
    return [str(item) for item in (value if isinstance(value, list) else [value])]
