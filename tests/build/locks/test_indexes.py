"""`fapbuild lock` says which packages could come from which index."""

import os
from pathlib import Path

import pytest

from fapbuild.locks.indexes import PYPI, warnings
from fapbuild.wheels import credentials
from tests.parts.project import Project
from tests.parts.webserver import offer, serve
from tests.parts.wheelhouse import make_wheel

MAIN, EXTRA = "https://main.example/simple", "https://me:secret@extra.example/simple/"
HAVE = {"flask": (MAIN, EXTRA), "click": (MAIN,), "shop-core": (EXTRA,), "lost": ()}


def has(package: str, index: str) -> bool | None:
    return any(index == url.rstrip("/") for url in HAVE[package]) or (None if package == "lost" else False)


def test_one_index_needs_no_words() -> None:
    assert warnings(HAVE, [MAIN], has) == []
    assert warnings(HAVE, [MAIN, MAIN + "/"], has) == []


def test_each_package_is_named_with_its_indexes() -> None:
    main, extra = "https://main.example/simple", "https://extra.example/simple"
    lines = warnings(HAVE, [MAIN, EXTRA], has)
    assert lines[0].startswith(
        f"warning: pip searches {main} and {extra}, and takes the highest version of any"
    )
    assert set(lines[1:-1]) == {
        f"  from {main} and {extra}: flask",
        f"  only from {main}, as long as nobody registers the name at {extra}: click",
        f"  only from {extra}, as long as nobody registers the name at {main}: shop-core",
        "  no index answered that it has: lost",
    }
    assert "git diff" in lines[-1]
    assert "PIP_INDEX_URL=URL fapbuild lock" in lines[-1]
    assert "secret" not in "".join(lines)


def test_many_packages_are_counted() -> None:
    lines = warnings([f"p{number:02}" for number in range(25)], [MAIN, EXTRA], lambda package, index: True)
    assert lines[1].endswith("p08, p09 and 15 more")


def test_the_indexes_of_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nextra-index-url = https://a.example/\n  https://b.example/\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    assert credentials.indexes() == [PYPI]
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert credentials.indexes()[0] == PYPI
    assert credentials.indexes()[-2:] == ["https://a.example/", "https://b.example/"]
    monkeypatch.setenv("PIP_INDEX_URL", MAIN)
    assert credentials.indexes()[0] == MAIN
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert credentials.indexes() == [PYPI]


def test_lock_asks_the_indexes_in_use(project: Project, tmp_path: Path) -> None:
    """With the login of a private one, and an index that the requirements name."""
    house = tmp_path / "private"
    wheels = [make_wheel(house, "shop-core"), make_wheel(house, "left-pad")]
    with serve() as public, serve() as private, serve() as third:
        main, extra, more = offer(public, wheels[1:]), offer(private, wheels), offer(third, [])
        private.login = "me:s3cret"
        env = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": main,
            "PIP_EXTRA_INDEX_URL": extra.replace("://", "://me:s3cret@"),
            "PIP_FIND_LINKS": "",
        }
        text = f"--extra-index-url {more}\nshop-core\nleft-pad\n"
        done = project.commit({"requirements.in": text}).run("lock", **env)
        assert done.returncode == 0, done.stderr
        main, extra, more = main.rstrip("/"), extra.rstrip("/"), more.rstrip("/")
        assert f"warning: pip searches {main} and {extra} and {more}, and takes" in done.stderr
        assert f"\n  from {main} and {extra}: left-pad\n" in done.stderr
        assert (
            f"\n  only from {extra}, as long as nobody registers the name at {main} or {more}: shop-core"
            in done.stderr
        )
        assert "s3cret" not in done.stderr
        project.commit({"requirements.in": "left-pad\n"})
        done = project.run("lock", **{**env, "PIP_EXTRA_INDEX_URL": ""})
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr
