"""How plugins are found, the errors for wrong ones, and that docs/reference/plugins.md names everything."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faprelease.config.deployfile import DeployFile
from faprelease.errors import ConfigError
from faprelease.plugins import curl, hooks, registry
from tests.parts.builds import serve_builds
from tests.parts.repository import ROOT
from tests.parts.site import Site, artifact

EXAMPLE = ROOT / "examples/plugins/warm_up.py"
DOCS = (ROOT / "docs/reference/plugins.md").read_text()
IMPORTS = (
    "import msgspec\nfrom faprelease.plugins.hooks import hookimpl\nfrom faprelease.steps.model import Step\n"
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("FAP_TRUST", "1")
    modules, path = set(sys.modules), list(sys.path)
    yield Site(tmp_path)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def release(site: Site, plugin: str, code: str, more: str = "") -> str:
    (site.folder / f"{plugin}.py").write_text(IMPORTS + code)
    site.configure(f"plugins: [{plugin}]\n{more}")
    return site.release(artifact(site.folder / "1", "1"))


def test_the_example_beside_deploy_yml_warms_up_the_release(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(EXAMPLE, site.folder)
    with serve_builds() as server:
        server.bodies["/a b"] = [b"page"]
        port = server.url.rpartition(":")[2]
        site.configure(f"plugins: [warm_up]\nwarm_up_port: {port}\nwarm_up_paths: [/a%20b, /it's]")
        server.bodies["/a%20b"] = [b"page"]
        site.release(artifact(site.folder / "1", "1"))
    assert server.asked == ["/a%20b", "/it's"]
    assert "warning: /it's stayed cold" in capfd.readouterr().err
    assert site.version() == "1"


def test_an_installed_one_is_found_by_its_entry_point(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = site.folder / "site-packages"
    (packages / "acme-1.dist-info").mkdir(parents=True)
    (packages / "acme-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (packages / "acme-1.dist-info/entry_points.txt").write_text(
        "[faprelease.plugins]\nacme = acme_ops.steps\n"
    )
    (packages / "acme_ops").mkdir()
    (packages / "acme_ops/__init__.py").touch()
    code = (
        "@hookimpl\ndef deploy_updated(context):\n"
        "    yield Step(title='acme', script=f'touch {context.release}/acme')\n"
    )
    (packages / "acme_ops/steps.py").write_text(IMPORTS + code)
    monkeypatch.syspath_prepend(packages)
    site.configure("plugins: [acme]")
    site.release(artifact(site.folder / "1", "1"))
    assert (site.path / "current/acme").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("@hookimpl\ndef deploy_publishd(context): ...\n", "deploy_publishd"),
        ("@hookimpl\ndef deploy_published(contxt): ...\n", "contxt"),
        ("1 / 0\n", "can't load the plugin 'broken' (ZeroDivisionError"),
        ("import no_such_library\n", "No module named 'no_such_library'"),
        (
            "class Options(msgspec.Struct, frozen=True):\n    user: str = ''\n",
            "the key user, which fapkit itself",
        ),
        (
            "class Options(msgspec.Struct, frozen=True):\n    drain_command: str = ''\n",
            "which plugin drain already has",
        ),
        ("class Options(msgspec.Struct, frozen=True):\n    broken_key: str\n", "plugin broken: its Options"),
        (
            "class Options(msgspec.Struct, frozen=True):\n    broken_number: int = 1\n",
            "broken_number: 'many' is not a whole number",
        ),
        (
            "@hookimpl\ndef deploy_published(context):\n    yield Step(title=context.no_such, script='')\n",
            "plugin broken failed at published: AttributeError",
        ),
        ("@hookimpl\ndef deploy_published(context):\n    yield 'true'\n", "returned 'true' at published"),
        ("@hookimpl\ndef deploy_published(context):\n    return Step(title='a', script='')\n", "TypeError"),
    ],
)
def test_a_wrong_one_is_refused_before_anything_changes(site: Site, code: str, said: str) -> None:
    more = "broken_number: many" if "broken_number" in code else ""
    with pytest.raises(ConfigError, match=re.escape(said)) as refused:
        release(site, "broken", code, more)
    assert refused.value.hint
    assert not (site.path / "releases").exists()


def test_one_that_a_single_role_names_has_its_keys(site: Site) -> None:
    site.deploy_yml.write_text(
        f"app_name: shop\nconnection: local\npath: {site.path}\n"
        "stage_role_configs: {production: {web: {release_plugins: [own], own_file: mark}}}\n"
    )
    code = (
        "class Options(msgspec.Struct, frozen=True):\n    own_file: str = ''\n"
        "@hookimpl\ndef deploy_updated(context):\n"
        "    file = context.options(Options).own_file\n"
        "    return [Step(title='own', script=f'touch {context.release}/{file}')]\n"
    )
    (site.folder / "own.py").write_text(IMPORTS + code)
    site.release(artifact(site.folder / "1", "1"))
    assert (site.path / "current/mark").exists()


def test_the_page_names_every_hook_every_plugin_and_every_key() -> None:
    for hook in (name for name in vars(hooks.Signals) if not name.startswith("_")):
        assert f"`{hook}" in DOCS, hook
    plugins = registry.load(registry.BUILT_IN, DeployFile("deploy.yml", {}, {}))
    kinds = {name: getattr(module, "Options", None) for name, module in plugins._modules.items()}
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^###? |\Z)", DOCS, re.MULTILINE | re.DOTALL))
    assert set(sections) == {*registry.BUILT_IN, *registry.ALWAYS}
    for name, kind in {**kinds, "curl": curl.Options}.items():
        missing = [key for key in kind.__struct_fields__ if key not in sections[name]] if kind else []
        assert not missing, name


def test_the_page_shows_the_example_as_it_is() -> None:
    assert f"```python\n{EXAMPLE.read_text()}```" in DOCS
