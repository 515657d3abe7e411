"""A YAML file that stands for far more than it is long is refused at once, by whatever command reads it."""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from faprelease.config import deployfile
from faprelease.config import target as config
from faprelease.config.yaml_text import MOST_BYTES
from faprelease.errors import ConfigError
from faprelease.run import run as runs
from tests.parts.faprelease_command import run
from tests.parts.site import Site

HEAD = "app_name: b\nstage_role_configs: {production: {web: {hosts: [a]}}}\n"
SECONDS = 1.0


def bomb(first: str, line: str) -> str:
    """Nine levels of ten aliases each. `line` has `{}` for them."""
    names = "abcdefghij"
    lines = [
        f"x-{name}: &{name} {line.format(', '.join([f'*{before}'] * 10))}" for before, name in pairwise(names)
    ]
    return "\n".join([f"x-a: &a {first}", *lines])


def chain(count: int) -> str:
    return "\n".join(["x-0: &a0 [1]", *(f"x-{i}: &a{i} [*a{i - 1}]" for i in range(1, count))])


NAMES = ["user", "sudo_user", "path", "current_path", "releases_path", "shared_path", "preflight", "store"]
REFERENCES = "\n".join(
    f"{name}: '{f'%({next_name})s' * 10}'"
    for name, next_name in zip(NAMES, [*NAMES[1:], "cache_path"], strict=True)
)
BOMBS = {
    "aliases": (bomb("[1, 1]", "[{}]"), "more than 30000 values"),
    "mappings": (bomb("{k: 1}", "{{a: [{}]}}"), "more than 30000 values"),
    "merges": (bomb("{k: 1}", "{{<<: [{}]}}"), "more than 30000 values"),
    "roles": (
        "x-r: &r {" + ", ".join(f"r{i}: {{port: 1}}" for i in range(1000)) + "}\n"
        "x-s: {" + ", ".join(f"s{i}: *r" for i in range(1000)) + "}",
        "more than 30000 values",
    ),
    "lists": ("x-a: " + "[" * 500 + "]" * 500, "nested deeper than 100 levels"),
    "blocks": ("\n".join(" " * i + "x-a:" for i in range(900)), "nested deeper than 100 levels"),
    "a chain": (chain(3000), "nested deeper than 100 levels"),
    "open lists": ("x-a: " + "[" * 100_000, "exceeded maximum nesting depth"),
    "sexagesimal": ("x-a: " + "1:" * 300_000 + "1", "a number of 600001 characters"),
    "a large one": ("x-a: '" + "x" * (MOST_BYTES + 1) + "'", "has more than 2 million characters"),
    "references": (REFERENCES, "stands for more than 100000 characters"),
    "a list as a key": ("? [a]\n: 1", "can't be a key"),
}


@pytest.mark.parametrize(("text", "said"), BOMBS.values(), ids=BOMBS)
def test_it_ends_within_a_second_with_a_refusal(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "deploy.yml"
    path.write_text(f"{text}\n{HEAD}")
    began = time.monotonic()
    with pytest.raises(ConfigError, match=said) as refused:
        runs.load(path, {})
    assert time.monotonic() - began < SECONDS
    assert refused.value.hint
    assert len(refused.value.message) < 1000


@pytest.mark.parametrize(
    "words", [("config", "production"), ("status", "production"), ("schema",), ("trust",)]
)
def test_so_do_the_verbs(words: tuple[str, ...], site: Site) -> None:
    site.deploy_yml.write_text(f"{BOMBS['aliases'][0]}\n{HEAD}")
    began = time.monotonic()
    done = run(site, *words)
    assert time.monotonic() - began < 5
    assert done.returncode == 2
    assert "deploy.yml, line 5: more than 30000 values" in done.stderr


@pytest.mark.parametrize("name", ["aliases", "open lists", "merges", "references"])
def test_so_does_the_tab_key(name: str, site: Site) -> None:
    site.deploy_yml.write_text(f"{BOMBS[name][0]}\n{HEAD}")
    began = time.monotonic()
    words = "faprelease status production web --hosts "
    done = run(site, _FAPRELEASE_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="5")
    assert time.monotonic() - began < 5
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["deploy.yml", "beeper.yml"])
def test_so_does_a_migration(name: str, site: Site) -> None:
    (site.folder / name).write_text(f"{BOMBS['aliases'][0]}\n{HEAD}")
    began = time.monotonic()
    done = run(site, "migrate", name)
    assert time.monotonic() - began < 5
    assert done.returncode == 2
    assert "more than 30000 values" in done.stderr


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/stdin"])
def test_a_link_to_a_device_is_not_read_for_ever(target: str, site: Site) -> None:
    site.deploy_yml.unlink()
    site.deploy_yml.symlink_to(target)
    assert run(site, "config", "production").returncode == 2
    done = run(site, _FAPRELEASE_COMPLETE="bash_complete", COMP_WORDS="faprelease status ", COMP_CWORD="2")
    assert (done.returncode, done.stderr) == (0, "")


def test_honest_files_use_aliases_and_nesting(tmp_path: Path) -> None:
    path = tmp_path / "deploy.yml"
    roles = "\n".join(f"    role{i}: {{<<: *all, hosts: [web{i}]}}" for i in range(300))
    values = ", ".join(f"x-{i}: [1]" for i in range(20))
    path.write_text(
        f"app_name: b\nx-all: &all {{{values}, port: 22}}\nstage_role_configs:\n  production:\n{roles}\n"
    )
    file, keys = runs.load(path, {})
    assert isinstance(file, deployfile.DeployFile)
    targets = config.targets(file, "production", "role7", {}, keys)
    assert targets[0].settings.port == 22
