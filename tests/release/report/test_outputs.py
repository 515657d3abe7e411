"""What a run shows: on a terminal, in CI, as JSON, in its log; and with which exit code it ends."""

import json
import os
import pty
import re
import shlex
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from faprelease.report import runlog
from faprelease.report.events import Began
from tests.parts.builds import serve_builds
from tests.parts.fleet import wait_until
from tests.parts.long_sleep import is_running, long_sleep
from tests.parts.site import INSTALL, Site, artifact, sha256_of

MAIN = [sys.executable, "-c", "from faprelease.cli import command; command()"]
FAILS = b"echo working; echo no space left; exit 3\n"


def environment(site: Site, **more: str) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(site.folder / "state"), **more}


def run(site: Site, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MAIN, *words],
        cwd=site.folder,
        env=environment(site, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def logs(site: Site) -> list[Path]:
    return sorted((site.folder / "state/fapkit/logs").glob("*.log"))


def at_a_terminal(site: Site, *words: str, typed: str = "") -> tuple[int, str]:
    """Run in a terminal of 100 columns; the exit code and all that it was sent."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*MAIN, "-f", str(site.deploy_yml), *words],
        env=environment(site, TERM="xterm-256color", COLUMNS="100"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    said = b""
    try:
        while data := os.read(ours, 65536):
            said += data
    except OSError:  # a terminal that nobody holds open any more ends so
        pass
    os.close(ours)
    return process.wait(30), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())


@pytest.mark.slow
def test_a_terminal_sees_what_each_host_does_and_then_how_it_ended(site: Site, tmp_path: Path) -> None:
    slow = artifact(tmp_path / "a", "1", {"install.sh": INSTALL + b"sleep 1\n"})
    code, said = at_a_terminal(site, "--curl-url", slow, "production")
    assert code == 0, said
    assert "connecting" in said
    assert re.search(r"localhost \(web\) updated: install, contained +1 s", said)
    assert re.search(r"✓ updated +1\.\d\d s", said)
    assert f"done: {site.current()} is live on all hosts" in said
    code, said = at_a_terminal(
        site, "--curl-url", artifact(tmp_path / "b", "2", {"install.sh": FAILS}), "production"
    )
    assert code == 1
    end = said[said.index("now running:") :].splitlines()
    assert end[1] == f"  {site.current()}: localhost (web)"
    assert "localhost (web), updated: install, contained: exit 3" in end[3]
    assert [line.strip() for line in end[4:6]] == ["working", "no space left"]
    assert end[-2] == "hint: every host runs what it ran before; fix the problem above, then release again"
    assert end[-1] == f"full log: {logs(site)[-1]}"


@pytest.mark.slow
def test_bytes_move_while_they_are_fetched(site: Site, tmp_path: Path) -> None:
    big = Path(urlsplit(artifact(tmp_path, "1", {"noise": os.urandom(400_000)})).path).read_bytes()
    with serve_builds() as builds:
        builds.bodies["/big.tgz"] = [big]
        builds.pause = 0.4
        words = ("--curl-url", f"{builds.url}/big.tgz", "production")
        done = run(site, "--json-lines", *words)
        code, said = at_a_terminal(site, *words)
    assert (done.returncode, code) == (0, 0), done.stderr + said
    events = [json.loads(line) for line in done.stdout.splitlines()]
    fetched = [event["bytes"] for event in events if event["event"] == "fetched"]
    assert fetched == sorted(set(fetched)), "they only grow"
    assert 0 < fetched[0] < len(big)
    (step,) = [event for event in events if event["event"] == "step" and "fetch" in event["step"]]
    assert step["output"].startswith(f"downloaded {len(big)} bytes"), "what was for the moment is gone"
    assert re.search(r"updating: fetch http\S+ and .* [12] s +\d+\.\d kB", said)
    assert "\rfetched" not in said


def test_the_log_holds_everything_and_is_its_owners_alone(site: Site, tmp_path: Path) -> None:
    site.configure("environment: {WORD: hunter22}")
    loud = artifact(tmp_path / "a", "1", {"install.sh": INSTALL + b"cat .env\necho a line of pip\n"})
    assert run(site, "--curl-url", f"{loud}?key=hunter23", "production").returncode == 0
    (log,) = logs(site)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
    text = log.read_text()
    for said in ("updated: install, contained: exit 0", "a line of pip", "is live on all", "exit 0"):
        assert said in text
    assert "hunter2" not in text
    run(site, "--curl-url", "nothing", "production")
    assert logs(site) == [log], "what changes nothing needs no log"


def test_a_log_has_no_colours_and_ends_with_the_exit_code(site: Site, tmp_path: Path) -> None:
    red = b"printf '\\033[1;31mno space left\\033[0m\\n'; exit 3\n"
    done = run(site, "--curl-url", artifact(tmp_path / "a", "1", {"install.sh": red}), "production")
    assert done.returncode == 1
    assert "no space left" in done.stderr
    (log,) = logs(site)
    text = log.read_text()
    for said in (text, done.stderr):
        assert "[1;31m" not in said
    assert re.fullmatch(r"[\d:.]+ exit 1", text.splitlines()[-1])


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_release_needs_no_open_stream(closed: str, site: Site, tmp_path: Path) -> None:
    line = shlex.join([*MAIN, "--curl-url", artifact(tmp_path, "1"), "production"])
    done = subprocess.run(
        ["sh", "-c", f"{line} {closed}"],
        cwd=site.folder,
        env=environment(site),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, site.version()) == (0, "1"), done.stderr
    assert "Traceback" not in done.stderr
    assert logs(site)[0].read_text().endswith(" exit 0\n")


def test_quiet_shows_warnings_and_the_result(site: Site, tmp_path: Path) -> None:
    warns = {"install.sh": INSTALL + b"echo warning: an old lock\n"}
    done = run(site, "-q", "--curl-url", artifact(tmp_path / "a", "1", warns), "production")
    assert done.returncode == 0, done.stderr
    told = done.stderr.splitlines()
    assert [line for line in told if "warning: " not in line] == [
        line for line in told if line.startswith(f"done: {site.current()} is live on all hosts")
    ]
    assert any("an old lock" in line for line in told)
    url = artifact(tmp_path / "b", "2", {"install.sh": FAILS})
    failed = run(site, "release", "--quiet", "--curl-url", url, "production")
    assert failed.returncode == 1
    assert failed.stderr.startswith("now running:\n")
    assert "no space left" in failed.stderr
    assert run(site, "-q", "-v", "--curl-url", url, "production").returncode == 2
    assert "from " in run(site, "plan", "-q", "--curl-url", url, "production").stdout


def test_old_logs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    runlog.folder().mkdir(parents=True)
    for number in range(runlog.KEPT + 7):
        (runlog.folder() / f"250101-{number:06}-release-1.log").write_text("")
    log = runlog.RunLog("release")
    log.show(Began(title="release", hosts=()))
    kept = sorted(path.name for path in runlog.folder().iterdir())
    assert len(kept) == runlog.KEPT
    assert kept[0] == "250101-000008-release-1.log"
    assert log.path is not None
    assert kept[-1] == log.path.name


def test_where_no_log_can_be_kept_that_is_said(site: Site, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    done = run(site, "--curl-url", artifact(tmp_path / "a", "1"), "production")
    assert done.returncode == 0, done.stderr
    assert "warning: this run has no log file" in done.stderr


ENDS = {
    "done": ({}, (), 0, "healthy"),
    "installer": ({"install.sh": FAILS}, (), 1, "failed"),
    "words": ({}, ("--keep-releases", "x"), 2, None),
    "gate": ({}, ("--fail-at", "checking"), 4, "undone"),
    "bytes": ({}, ("--curl-sha256", "0" * 64), 6, "failed"),
}


@pytest.mark.parametrize(("files", "words", "code", "outcome"), ENDS.values(), ids=ENDS.keys())
def test_json_says_how_it_ended(
    files: dict[str, bytes],
    words: tuple[str, ...],
    code: int,
    outcome: str | None,
    site: Site,
    tmp_path: Path,
) -> None:
    site.configure("plugins: [tests.parts.plugins]")
    old = site.release(artifact(tmp_path / "old", "1"))
    url = artifact(tmp_path / "a", "2", files)
    done = run(site, "--json", "--curl-url", url, *words, "production", PYTHONPATH=str(Path.cwd()))
    assert done.returncode == code, done.stderr
    (line,) = done.stdout.splitlines()
    ended = json.loads(line)
    assert (ended["event"], ended["verb"], ended["exit_code"]) == ("ended", "release", code)
    hosts = [(each["host"], each["role"], each["outcome"], each["release"]) for each in ended["hosts"]]
    assert hosts == ([("localhost", "web", outcome, site.current())] if outcome else [])
    assert bool(ended["error"]) == bool(code)
    assert bool(ended["log"]) == bool(outcome)
    assert (site.current() == old) == bool(code)


def test_json_lines_say_all_that_happens(site: Site, tmp_path: Path) -> None:
    done = run(site, "--json-lines", "--curl-url", artifact(tmp_path, "1"), "production", "web")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["connecting", "began"]
    assert kinds[-1] == "ended"
    steps = [event for event in events if event["event"] == "step"]
    assert "install, contained" in [step["step"] for step in steps]
    assert {step["code"] for step in steps} == {0}
    assert [event["phase"] for event in events if event["event"] == "phase"] == [
        "starting",
        "updating",
        "updated",
        "published",
        "finishing",
    ]


def test_nobody_has_to_read_the_json(site: Site, tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    words = ("--json-lines", "--curl-url", artifact(tmp_path, "1"), "production")
    done = subprocess.run(
        [*MAIN, "-f", str(site.deploy_yml), *words], env=environment(site), stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    assert done.returncode == 0
    assert site.version() == "1"


def test_github_gets_groups_and_the_error_on_the_page(site: Site, tmp_path: Path) -> None:
    loud = artifact(tmp_path, "1", {"install.sh": b"echo ::set-env name=a::b; exit 3\n"})
    done = run(site, "--curl-url", loud, "production", GITHUB_ACTIONS="true")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    start = next(n for n, line in enumerate(lines) if re.match(r"::group::localhost \(web\): install", line))
    stop = re.fullmatch(r"::stop-commands::(\w+)", lines[start + 1])
    assert stop
    assert lines[start + 2] == "::set-env name=a::b"
    end = lines.index(f"::{stop[1]}::")
    assert end > start + 2
    assert lines[end + 1] == "::endgroup::"
    (error,) = [line for line in lines if line.startswith("::error title=faprelease::")]
    assert "nothing was published%0A" in error


def test_a_protected_stage_is_confirmed_by_its_name(site: Site, tmp_path: Path) -> None:
    site.configure("protected: true")
    url = artifact(tmp_path, "1")
    words = ("--curl-url", url, "--curl-sha256", sha256_of(url), "production")
    done = run(site, *words)
    assert done.returncode == 2
    assert "in CI: --yes" in done.stderr
    code, said = at_a_terminal(site, *words, typed="staging\n")
    assert code == 2, said
    assert "'staging' is not 'production': nothing was done" in said
    assert not site.path.exists()
    code, said = at_a_terminal(site, *words, typed="production\n")
    assert code == 0, said
    assert run(site, "--yes", *words[:4], "--environment-file", ".env2", "production").returncode == 0
    assert run(site, "status", "production").returncode == 0, "what only reads asks nothing"


@pytest.mark.slow
def test_ctrl_c_twice_stops_at_once_and_says_what_is_where(site: Site, tmp_path: Path) -> None:
    old = site.release(artifact(tmp_path / "a", "1"))
    sleep = long_sleep()
    slow = artifact(tmp_path / "b", "2", {"install.sh": f"touch begun; exec {sleep}\n".encode()})
    process = subprocess.Popen(
        [*MAIN, "-f", str(site.deploy_yml), "--json", "--curl-url", slow, "production"],
        env=environment(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    watch = threading.Timer(60, process.kill)
    watch.start()
    wait_until(lambda: any(site.path.glob("releases/*/begun")), "the installer runs", 20)
    process.send_signal(signal.SIGINT)
    said = ""
    while "press Ctrl-C again to stop now" not in said:
        said += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate()
    watch.cancel()
    assert process.returncode == 130, rest
    assert "stopped immediately" in rest
    assert "localhost (web): updated: " in rest
    assert "the next release or rollback finishes or undoes it" in rest
    assert json.loads(out)["exit_code"] == 130
    wait_until(lambda: not site.locked(), "the lock goes with its controller", 15)
    assert not is_running(sleep)
    assert site.current() == old
    site.release(artifact(tmp_path / "c", "3"))
    assert site.version() == "3"
