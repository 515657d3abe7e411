"""What deploy.yml says, shown: config, schema, flags as typed keys, stages one after another, completion."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.shell_completion import BashComplete

from faprelease.cli import group, main
from tests.parts.repository import ROOT
from tests.parts.site import Site, artifact

SHOP = """\
app_name: shop
curl_user: me:hunter2hunter2
curl_url: https://me:pw@builds.example.com/a.tgz?X-Signature=abc
environment: {KEY: {env: NOT_SET_ANYWHERE}, WORD: hunter2hunter2}
stage_role_configs:
  production:
    user: ops
    web: {hosts: [web1, {web2: {port: 2222}}]}
    worker: {hosts: [web1], path: /srv/worker}
  staging:
    web: {hosts: [stage1]}
"""


@dataclass
class Answer:
    returncode: int
    stdout: str
    stderr: str


def run(site: Site, *words: str) -> Answer:
    """Run the command in this process, in the folder of the site."""
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as out, io.StringIO() as err:
        patch.chdir(site.folder)
        patch.setattr(sys, "argv", ["faprelease", *words])
        code = 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Answer(code, out.getvalue(), err.getvalue())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.deploy_yml.write_text(SHOP)
    return made


def test_config_shows_what_is_in_force_and_where_it_was_said(site: Site) -> None:
    done = run(site, "config", "production", "web", "--keep-releases", "3", "--no-use-ssh-config")
    assert done.returncode == 0, done.stderr
    words = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "production web",
        "user ops deploy.yml, line 7",
        "path /home/deploy/www/shop default",
        "keep_releases 3 --keep-releases",
        "use_ssh_config false --use-ssh-config",
        "curl_url https://builds.example.com/a.tgz?… deploy.yml, line 3",
        "curl_user *** deploy.yml, line 2",
        "environment.KEY *** {env: NOT_SET_ANYWHERE} deploy.yml, line 4",
        "production web, only web2",
        "port 2222 deploy.yml, line 8",
    ):
        assert line in words, done.stdout
    assert "hunter2" not in done.stdout
    assert not [word for word in words if word.startswith("supervisor_")]  # the role does not use it


def test_config_as_json_is_an_object_a_host(site: Site) -> None:
    done = run(site, "config", "-s", "production", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["stage"], row["role"], row["host"]) for row in rows] == [
        ("production", "web", "web1"),
        ("production", "web", "web2"),
        ("production", "worker", "web1"),
    ]
    assert rows[1]["values"]["port"] == {"value": 2222, "from": "deploy.yml, line 8"}
    assert "hunter2" not in done.stdout


def test_every_key_is_listed_with_what_it_is_for(site: Site) -> None:
    done = run(site, "config", "--keys")
    assert "keep_releases, a whole number (5): how many releases" in done.stdout
    listed = {json.loads(line)["key"] for line in run(site, "config", "--keys", "--json").stdout.splitlines()}
    named = set(yaml.safe_load((ROOT / "docs/deploy.yml").read_text())) - {"stage_role_configs"}
    assert named <= listed


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schema")
    done = run(Site(folder), "schema")
    assert done.returncode == 0, done.stderr
    (folder / "schema.json").write_text(done.stdout)
    return folder / "schema.json"


def refused_by(schema: Path, files: list[Path]) -> set[str]:
    """The names of those files that the schema does not take."""
    check = Path(sys.executable).parent / "check-jsonschema"
    argv = [check, "--output-format", "json", "--schemafile", schema, *files]
    done = subprocess.run(argv, capture_output=True, text=True)
    return {Path(error["filename"]).name for error in json.loads(done.stdout)["errors"]}


WRONG = {
    "app_name: shop": "app_nam: shop",
    "user: ops": "user: 5",
    "path: /srv/worker": "pth: /srv/worker",
    "{port: 2222}": "{port: many}",
    "web2: {port: 2222}": "web2: {batch: 1}",
    "{env: NOT_SET_ANYWHERE}": "{envv: X}",
    "staging:": "status:",
    "hosts: [stage1]": "hosts: [5]",
}


@pytest.mark.slow
def test_editors_take_what_faprelease_takes_and_refuse_the_rest(schema: Path, site: Site) -> None:
    files = [ROOT / "docs/deploy.yml", *sorted((ROOT / "tests/seed").glob("*.yml"))]
    builds_on_hosts = {"codebase.yml", "dependencies.yml"}
    (site.folder / "shop.yml").write_text(SHOP.replace("staging:", "x-note: {any: thing}\n  staging:"))
    wrong = {f"wrong{number}.yml": case for number, case in enumerate(WRONG.items())}
    for name, (good, bad) in wrong.items():
        assert good in SHOP
        (site.folder / name).write_text(SHOP.replace(good, bad))
        assert run(site, "config", "-f", name, "production").returncode == 2, bad
    own = [site.folder / name for name in (*wrong, "shop.yml")]
    assert refused_by(schema, [*files, *own]) == {*wrong, *builds_on_hosts}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--use-ssh-config",), "use_ssh_config true --use-ssh-config"),
        (("--no-use-ssh-config",), "use_ssh_config false"),
        (("--use-ssh-config", "no"), "use_ssh_config false"),
        (("--use-ssh-config=FALSE",), "use_ssh_config false"),
        (("--linked-files", "a,b", "--linked-files=c"), 'linked_files ["a","b","c"]'),
        (("--plugins", "tests.parts.plugins", "--fail-at", "updated"), "fail_at updated --fail-at"),
        (("--path", "/a %(b)s"), "path /a %(b)s"),
    ],
)
def test_flags_are_keys_with_their_kinds(words: tuple[str, ...], said: str, site: Site) -> None:
    done = run(site, "config", *words, "production", "web")
    assert done.returncode == 0, done.stderr
    assert said in [" ".join(line.split())[: len(said)] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (("--no-user", "x"), "unknown flag 'no-user'", ""),
        (
            ("--use-ssh-config=perhaps",),
            "use_ssh_config: 'perhaps' is not true or false",
            "use the settings of",
        ),
        (("--environment", "A=b"), "unknown flag 'environment'", "environment-file"),
        (("--no-use-ssh-confi",), "unknown flag 'no-use-ssh-confi'", "use-ssh-config"),
    ],
)
def test_flags_that_are_none(words: tuple[str, ...], said: str, hint: str, site: Site) -> None:
    done = run(site, "config", "production", *words)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert hint in done.stderr


def test_a_role_of_all_stages_is_asked_for_by_name(site: Site) -> None:
    done = run(site, "config", "-r", "web")
    assert done.returncode == 2
    assert "--all-stages" in done.stderr
    done = run(site, "config", "--all-stages", "-r", "web", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["stage"], row["host"]) for row in rows] == [
        ("production", "web1"),
        ("production", "web2"),
        ("staging", "stage1"),
    ]
    assert len(run(site, "config", "--all-stages", "worker", "--json").stdout.splitlines()) == 1
    for words in (("--all-stages",), ("--all-stages", "-r", "cron"), ("--all-stages", "production", "web")):
        assert run(site, "config", *words).returncode == 2


def test_fapistranos_ways_of_a_dry_run(tmp_path: Path) -> None:
    made = Site(tmp_path)
    made.configure()
    url = artifact(tmp_path, "1")
    for words in (("--dry-run=true",), ("--dry-run", "true")):
        done = run(made, "-d", "deploy.yml", "release", "--curl-url", url, *words, "-s", "production")
        assert done.returncode == 0, done.stderr
        assert "  starting " in done.stdout
    assert not made.path.exists()


@pytest.mark.parametrize(
    ("line", "offered", "left_out"),
    [
        ("faprelease ", {"status", "production", "staging"}, {"web"}),
        ("faprelease pro", {"production"}, {"staging", "status"}),
        ("faprelease production ", {"web", "worker"}, {"staging"}),
        ("faprelease production web ", set(), {"web", "production"}),
        ("faprelease status ", {"production", "staging"}, {"web"}),
        ("faprelease status -s staging ", {"web"}, {"worker"}),
        ("faprelease status -r w", {"web", "worker"}, set()),
        ("faprelease production worker --hosts ", {"web1"}, {"web2:2222", "web2"}),
        ("faprelease status production --keep", {"--keep-releases"}, {"--user"}),
        ("faprelease status -f nowhere.yml ", set(), {"production"}),
    ],
)
def test_the_shell_offers_what_deploy_yml_has(
    line: str, offered: set[str], left_out: set[str], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, *words, typed = line.split(" ")
    monkeypatch.chdir(site.folder)
    found = {
        item.value for item in BashComplete(group.cli, {}, "faprelease", "").get_completions(words, typed)
    }
    assert offered <= found
    assert not left_out & found
