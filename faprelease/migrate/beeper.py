"""beeper.yml becomes fapbuild.toml, and a deploy.yml to fill in: beeper only packed."""

from typing import Any

import yaml

from faprelease.errors import ConfigError
from faprelease.migrate.findings import AssetStep, Build, Finding, Migration, Verdict

_OWN_FOLDERS = ("$DATA_DIR", "$WORK_DIR", "$BUILD_DIR", "$DIST_DIR")
_DEPLOY = """\
# beeper only packed; where the app runs is said here.
app_name: {app}
# store: s3://BUCKET/PREFIX    what was promoted to the stage is released; or give --curl-url

stage_role_configs:
  production:
    web:
      hosts: [web1.example.com] # yours
"""


def migrate(name: str, text: str) -> Migration:
    """Our files from beeper.yml; raises ConfigError if it is no YAML mapping."""
    try:
        values = yaml.safe_load(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: {error}", hint="mend the YAML first") from error
    if not isinstance(values, dict) or not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{name} holds no settings", hint="give beeper's beeper.yml")
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
        return "build", "`app` of fapbuild.toml, and `app_name` of deploy.yml"
    if key == "manifest":
        return "build", "`exclude` of fapbuild.toml; what is packed is what is committed, and what steps make"
    if key in ("scripts", "postbuild"):
        if any(folder in str(value) for folder in _OWN_FOLDERS):
            return "yours", "these use beeper's folders: a step runs in the project's, and names its outputs"
        return "yours", "[[assets]] of fapbuild.toml: name the files and folders that they make as `outputs`"
    if key == "postinstall" and any(folder in str(value) for folder in _OWN_FOLDERS):
        return (
            "yours",
            "`post_install` of fapbuild.toml; beeper's folders are not there: name files of the release",
        )
    if key == "postinstall":
        return "build", "`post_install` of fapbuild.toml: in the release's folder, without network"
    if key == "language" and value == "python":
        return "dropped", "it is always Python"
    if key == "language":
        return "yours", "fapbuild packs Python"
    if key == "python":
        return "build", "`target` of fapbuild.toml, if the hosts have another Python than the builder"
    if key in ("version", "format", "current_dir", "postinstall_commands"):
        return "dropped", "an artifact is a .tgz; its version is the commit's time and name, or --version"
    return "yours", "no key of beeper's"


def _list(values: dict[str, Any], key: str) -> list[str]:
    found = values.get(key) or []
    return [str(item) for item in (found if isinstance(found, list) else [found])]
