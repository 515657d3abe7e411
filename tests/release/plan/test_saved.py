"""A plan that is kept in a file is carried out as it is, or not at all."""

import json
import os
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.parts.builds import serve_builds
from tests.parts.repository import ROOT
from tests.parts.site import Site, artifact
from tests.parts.store_site import Shop

pytestmark = pytest.mark.slow  # makes a plan and a release, in processes of their own

MORE = "environment: {WORD: hunter22}\nlinked_dirs: [log]\nplugins: [tests.parts.plugins]\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.configure(MORE + "keep_releases: 1\npublished_script: 'true'")
    return made


def run(site: Site, *words: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", "from faprelease.cli import main; main()", *words],
        cwd=site.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done


def bound(url: str) -> tuple[str, ...]:
    digest = sha256(Path(urlsplit(url).path).read_bytes()).hexdigest()
    return ("--curl-url", url, "--curl-sha256", digest)


def planned(site: Site, url: str) -> Path:
    run(site, "plan", *bound(url), "production", "web", "-o", "next.plan")
    return site.folder / "next.plan"


def test_a_plan_says_what_would_change_and_changes_nothing(site: Site, tmp_path: Path) -> None:
    for version in ("1", "2"):
        old = site.release(artifact(tmp_path, version))
    url = artifact(tmp_path, "3")
    done = run(site, "plan", *bound(url), "production")
    assert site.current() == old
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    shown = {words[0]: words[1] for words in lines if len(words) == 2}
    assert shown["localhost"] == "(web)"
    assert shown["from"] == f"{old}, shop 2, commit {'a' * 12}"
    assert shown["to"].endswith(f", shop 3, commit {'a' * 12}")
    size = Path(urlsplit(url).path).stat().st_size
    assert shown["downloads"] == f"at most {size / 1e6:.1f} MB"
    assert (shown["links"], shown["restarts"]) == ("log", "published")
    assert shown["removes"] == site.folders()[0]
    assert "install, contained" in shown["updated"]
    assert "hunter22" not in done.stdout
    ended = json.loads(run(site, "--dry-run", "--json", *bound(url), "production").stdout)
    (host,) = ended["plan"]["hosts"]
    assert (host["previous"], host["previous_version"], host["version"]) == (old, "2", "3")
    assert (host["app"], host["commit"], host["previous_app"]) == ("shop", "a" * 40, "shop")
    assert ended["plan"]["download"] == size
    assert host["removes"] == site.folders()[:1]


def test_apply_does_what_was_planned_without_a_secret_in_the_file(site: Site, tmp_path: Path) -> None:
    file = planned(site, artifact(tmp_path, "1"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert "hunter22" not in text
    assert not site.path.exists()
    done = run(site, "apply", str(file))
    assert site.current() == json.loads(text)["plan"]["release"]
    assert "from      nothing" in done.stdout
    assert site.version() == "1"
    again = run(site, "apply", str(file), code=1)
    assert 'localhost (web): current was "", now ' in again.stderr


def test_what_changed_since_is_refused_by_its_name(site: Site, tmp_path: Path) -> None:
    first = site.release(artifact(tmp_path, "1"))
    url = artifact(tmp_path, "2")
    file = planned(site, url)
    text, deploy_yml = file.read_text(), site.deploy_yml.read_text()

    def refused(said: str, code: int = 1) -> None:
        done = run(site, "apply", str(file), code=code)
        assert said in done.stderr, done.stderr
        assert "plan again: faprelease plan" in done.stderr
        assert site.current() == first
        assert not site.locked()

    site.deploy_yml.write_text(deploy_yml.replace("hunter22", "hunter23"))
    refused("the configuration: deploy.yml, a flag, or a secret")
    site.deploy_yml.write_text(deploy_yml.replace("keep_releases: 1", "keep_releases: 1\nbatch_wait: 1"))
    refused("localhost (web): the steps to run")
    site.deploy_yml.write_text(deploy_yml)
    file.write_text(text.replace('"stage":"production"', '"stage":"productiom"', 1))
    refused("the plan was changed after it was made", code=2)
    file.write_text(other_version(text))
    refused("made by fapkit 9.9", code=2)
    file.write_text("{}")
    refused("not a plan of faprelease", code=2)
    file.unlink()
    refused("can't read the plan", code=2)
    file.write_text(text)
    run(site, "apply", str(file))
    assert site.version() == "2"


def other_version(text: str) -> str:
    plan = {**json.loads(text)["plan"], "fapkit": "9.9"}
    inside = json.dumps(plan, separators=(",", ":"))
    return f'{{"plan":{inside},"sha256":"{sha256(inside.encode()).hexdigest()}"}}'


def test_nothing_to_do_can_be_planned_too(site: Site, tmp_path: Path) -> None:
    url = artifact(tmp_path, "1")
    site.release(url, curl_sha256=bound(url)[3])
    old = site.current()
    file = planned(site, url)
    assert "nothing to do" in run(site, "apply", str(file)).stderr
    assert site.current() == old


def test_a_url_that_may_hold_a_secret_is_given_again(site: Site, tmp_path: Path) -> None:
    data = Path(urlsplit(artifact(tmp_path, "1")).path).read_bytes()
    with serve_builds() as builds:
        builds.bodies["/1.tgz"] = [data]
        words = ("--curl-url", f"{builds.url}/1.tgz?key=hunter24", "--curl-sha256", sha256(data).hexdigest())
        run(site, "plan", *words, "production", "-o", "next.plan")
        assert "hunter24" not in (site.folder / "next.plan").read_text()
        done = run(site, "apply", "next.plan", code=2)
        assert "faprelease apply FILE --curl-url …" in done.stderr
        run(site, "apply", "next.plan", FAP_CURL_URL=f"{builds.url}/1.tgz?key=another")
    assert site.version() == "1"


def test_a_rollback_is_planned_and_applied_too(site: Site, tmp_path: Path) -> None:
    first, second = (site.release(artifact(tmp_path, version)) for version in ("1", "2"))
    done = run(site, "rollback", "production", "web", "-o", "back.plan")
    assert site.current() == second
    assert "to apply this plan: faprelease apply back.plan" in done.stderr
    assert not site.locked()
    done = run(site, "apply", "back.plan")
    assert f"to        {first}, shop 1, commit {'a' * 12}" in done.stdout
    assert site.current() == first
    assert site.states() == {first: "live", second: "bad"}
    done = run(site, "apply", "back.plan", code=1)
    assert "localhost (web): current was " in done.stderr
    assert "plan again: faprelease rollback production web -o FILE" in done.stderr
    assert site.current() == first


def test_a_rollback_that_takes_the_configuration_of_today_is_bound_to_it(site: Site, tmp_path: Path) -> None:
    first, second = (site.release(artifact(tmp_path, version)) for version in ("1", "2"))
    words = ("rollback", "production", "web", "--to", "1", "--config", "current", "-o", "back.plan")
    run(site, *words)
    text = site.deploy_yml.read_text()
    site.deploy_yml.write_text(text.replace("hunter22", "hunter23"))
    done = run(site, "apply", "back.plan", code=1)
    assert "the configuration: deploy.yml, a flag, or a secret" in done.stderr
    assert site.current() == second
    site.deploy_yml.write_text(text)
    run(site, "apply", "back.plan")
    assert site.current() not in (first, second)
    assert site.version() == "1"


def test_without_a_digest_no_plan_is_kept(site: Site, tmp_path: Path) -> None:
    done = run(site, "plan", "--curl-url", artifact(tmp_path, "1"), "production", "-o", "x", code=2)
    assert "--curl-sha256" in done.stderr
    assert not (site.folder / "x").exists()


def test_a_promotion_since_is_refused(site: Site, tmp_path: Path) -> None:
    site.configure(f"store: file://{tmp_path}/store")
    shop = Shop(site)
    shop.push("1")
    run(site, "plan", "production", "-o", "one.plan")
    shop.push("2")
    done = run(site, "apply", "one.plan", code=1)
    assert "not applied: the artifact was " in done.stderr
    run(site, "plan", "production", "-o", "two.plan")
    run(site, "apply", "two.plan")
    assert site.version() == "2"
    assert [record.entry for record in shop.records()] == [2]
