"""What fapistrano, beeper and Capistrano files become; and that our own tools take it."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fapbuild.project import config as build_config
from faprelease.config import target as config
from faprelease.config.target import Target
from faprelease.errors import ConfigError
from faprelease.migrate import Migration, migrate, write
from faprelease.run import run
from tests.parts.repository import ROOT

SEED = ROOT / "tests" / "seed"
FAPISTRANO = """\
# Shop, as we always released it
project_name: shop
app_name: shop
use_ssh_config: true
key_filename: ~/.ssh/shop          # Fabric's
plugins:
  - fapistrano.plugins.git         # the code
  - fapistrano.plugins.virtualenvwrapper
  - fapistrano.plugins.supervisorctl
  - shop_tools.banner
repo: >-
  git@git.example.com:shop/shop.git
branch: main

curl_postinstall_script: pip install -r requirements.txt
fis_dest: static/dist
x-hosts: &hosts
  - web1
  - web2
stage_role_configs:
  production:
    web:
      hosts: *hosts
      # the database's password is in there
      linked_files: [settings.py]
      virtualenvwrapper_requirements: '%(release_path)s/requirements/prod.txt'
    worker: {hosts: [job1]}
  staging:
    web:
      plugins: [git, curl]
      hosts: [stage1]
      greeting: hello
"""
BEEPER = """\
application: shop
manifest:
  - shop/
  - manage.py
scripts:
  - npm ci && npm run build
postinstall:
  - venv/bin/python manage.py check
python: python3.11
"""
CAPISTRANO = """\
# config valid for current version
lock '~> 3.17.0'

set :application, 'Our shop'       # with a space
set :repo_url, 'git@git.example.com:shop.git'
ask :branch, `git rev-parse --abbrev-ref HEAD`.chomp
set :deploy_to, "/srv/#{fetch(:user, 'x')}/shop"
set :user, 'shop'
set :deploy_to, "/srv/#{fetch(:user)}/shop"
append :linked_files, 'config/database.yml', "config/key.pem"
set :linked_dirs, fetch(:linked_dirs, []).push('log', 'media')
set :linked_dirs, fetch(:linked_dirs) + %w[tmp/pids]
set :default_env, { 'path' => '/opt/bin:$PATH', shop_stage: 'live' }
set :keep_releases, 3
set :rbenv_ruby, '3.1.0'
set :colour, -> { fetch(:stage) }

namespace :deploy do
  task :restart do
    on roles(:app), in: :sequence do
      if test('true') then execute 'touch x' end
    end
  end
end
after 'deploy:published', 'deploy:restart'
"""
PRODUCTION = """\
server '192.0.2.1', user: 'shop', roles: %w{app db web}, primary: true
server 'web2.example.com', user: 'shop',
       roles: [:app, :web]   # no database
role :worker, %w[shop@job1.example.com shop@job2.example.com]
set :keep_releases, 5
"""


def targets(folder: Path, stage: str, **flags: Any) -> list[Target]:
    file, options = run.load(folder / "deploy.yml", flags)
    return config.targets(file, stage, None, flags, options)


def verdicts(found: Migration) -> dict[str, str]:
    return {each.what: each.verdict for each in found.findings}


def test_fapistranos_file_keeps_its_lines_and_what_builds_on_hosts_becomes_comments(tmp_path: Path) -> None:
    (tmp_path / "deploy.yml").write_text(FAPISTRANO)
    found = migrate(tmp_path / "deploy.yml")
    changed = found.deploy.splitlines()
    stayed = [line for line in FAPISTRANO.splitlines() if line in changed]
    assert {"# Shop, as we always released it", "app_name: shop", "      hosts: *hosts"} <= set(stayed)
    assert "      # the database's password is in there" in stayed
    assert "  # - fapistrano.plugins.git         # the code  # → build" in changed
    assert "#   git@git.example.com:shop/shop.git" in changed
    assert "      plugins: [curl]" in changed
    assert verdicts(found) | {"hosts": "kept"} == {
        **dict.fromkeys(("project_name", "app_name", "use_ssh_config", "x-hosts", "hosts"), "kept"),
        **dict.fromkeys(("linked_files", "plugin fapistrano.plugins.supervisorctl", "plugin curl"), "kept"),
        **dict.fromkeys(("repo", "branch", "curl_postinstall_script", "fis_dest", "plugin git"), "build"),
        **dict.fromkeys(("plugin fapistrano.plugins.git", "virtualenvwrapper_requirements"), "build"),
        "plugin fapistrano.plugins.virtualenvwrapper": "build",
        "key_filename": "dropped",
        **dict.fromkeys(("plugin shop_tools.banner", "greeting"), "yours"),
    }
    assert [each.where for each in found.findings][:2] == ["deploy.yml, line 2", "deploy.yml, line 3"]
    write(found, tmp_path / "new")
    web1, web2, job1 = targets(tmp_path / "new", "production")
    assert (web1.host, web2.host, job1.host) == ("web1", "web2", "job1")
    assert web1.settings.linked_files == ["settings.py"]
    assert [target.host for target in targets(tmp_path / "new", "staging")] == ["stage1"]
    assert build_config.load(tmp_path / "new").settings.requirements == "requirements/prod.txt"


def test_a_flow_mapping_that_holds_what_has_to_go_is_named(tmp_path: Path) -> None:
    (tmp_path / "deploy.yml").write_text("app_name: shop\nstage_role_configs: {p: {web: {branch: main}}}\n")
    with pytest.raises(ConfigError, match="line 2"):
        migrate(tmp_path / "deploy.yml")


@pytest.mark.parametrize("fragment", sorted(SEED.glob("*.yml")), ids=lambda path: path.stem)
def test_the_seeds_fragments_become_what_loads(fragment: Path, tmp_path: Path) -> None:
    text = fragment.read_text()
    if "stage_role_configs" not in text:
        text += "\nstage_role_configs: {production: {web: {}}}\n"
    (tmp_path / "deploy.yml").write_text(text)
    write(migrate(tmp_path / "deploy.yml"), tmp_path / "new")
    flags = {"app_name": "shop"} | ({} if "hosts:" in text else {"hosts": ["web1"]})
    assert targets(tmp_path / "new", "production", **flags)


def test_beepers_file_becomes_the_builds(tmp_path: Path) -> None:
    (tmp_path / "beeper.yml").write_text(BEEPER)
    found = migrate(tmp_path / "beeper.yml")
    assert verdicts(found) == {
        **dict.fromkeys(("application", "manifest", "postinstall", "python"), "build"),
        "scripts": "yours",
    }
    write(found, tmp_path / "new")
    written = tomllib.loads((tmp_path / "new/fapbuild.toml").read_text())
    assert written["exclude"] == ["/*", "!/shop", "!/manage.py"]
    assert written["assets"] == [{"name": "scripts", "run": ["npm ci && npm run build"], "outputs": []}]
    assert written["post_install"] == ["venv/bin/python manage.py check"]
    assert targets(tmp_path / "new", "production")[0].settings.app_name == "shop"


def test_capistranos_declarations_become_ours_and_its_tasks_are_named(tmp_path: Path) -> None:
    (tmp_path / "config/deploy").mkdir(parents=True)
    (tmp_path / "config/deploy.rb").write_text(CAPISTRANO)
    (tmp_path / "config/deploy/production.rb").write_text(PRODUCTION)
    (tmp_path / "config/deploy/staging.rb").write_text("server ENV['STAGING']\n")
    found = migrate(tmp_path / "config/deploy.rb")
    write(found, tmp_path / "new")
    first, second, *workers = targets(tmp_path / "new", "production", app_name="shop")
    assert (first.settings.role, first.host) == ("app", "192.0.2.1")
    assert (second.settings.role, second.host) == ("web", "web2.example.com")
    assert [(each.settings.role, each.host) for each in workers] == [
        ("worker", "job1.example.com"),
        ("worker", "job2.example.com"),
    ]
    settings = first.settings
    assert (settings.user, settings.sudo_user, settings.path) == ("shop", "shop", "/srv/shop/shop")
    assert settings.linked_files == ["config/database.yml", "config/key.pem"]
    assert settings.linked_dirs == ["log", "media", "tmp/pids"]
    assert settings.environment == {"SHOP_STAGE": "live"}
    assert settings.keep_releases == 5
    assert targets(tmp_path / "new", "staging", app_name="shop")[0].settings.keep_releases == 3
    assert verdicts(found) | {"keep_releases": "kept"} == {
        **dict.fromkeys(("linked_files", "linked_dirs", "keep_releases", "user"), "kept"),
        **dict.fromkeys(
            ("application", "deploy_to", "default_env", "server 192.0.2.1", "role worker"), "changed"
        ),
        **dict.fromkeys(
            ("server web2.example.com", "roles of 192.0.2.1", "roles of web2.example.com"), "changed"
        ),
        **dict.fromkeys(("repo_url", "ask :branch, `git rev-parse --abbrev-ref HEAD`.chomp"), "build"),
        **dict.fromkeys(("lock '~> 3.17.0'", "rbenv_ruby"), "dropped"),
        **dict.fromkeys(
            ("namespace :deploy", "after 'deploy:published', 'deploy:restart'", "colour"), "yours"
        ),
        **dict.fromkeys(("ENV['STAGING']", "staging"), "yours"),
    }


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "beeper.yml").write_text(BEEPER)
    found = migrate(tmp_path / "beeper.yml")
    write(found, tmp_path)
    with pytest.raises(ConfigError, match="already exists"):
        write(found, tmp_path)


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n", "a: b: c\n"])
def test_what_is_no_settings_file_is_refused(text: str, tmp_path: Path) -> None:
    for name in ("deploy.yml", "beeper.yml"):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError):
            migrate(tmp_path / name)
    (tmp_path / "Capfile").touch()
    with pytest.raises(ConfigError, match="can't be migrated"):
        migrate(tmp_path / "Capfile")


def test_the_command_tells_what_became_of_each_line(tmp_path: Path) -> None:
    (tmp_path / "deploy.yml").write_text(FAPISTRANO)
    command = [Path(sys.executable).parent / "faprelease", "migrate", "deploy.yml"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "deploy.yml, line 13: branch  build: choose the commit when packing" in ran.stdout
    assert ran.stderr.startswith("written: migrated/deploy.yml, migrated/fapbuild.toml")
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (2, "")
    assert "migrated/deploy.yml already exists" in again.stderr
