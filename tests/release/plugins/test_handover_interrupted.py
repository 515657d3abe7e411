"""A handover that was cut off, or whose undo fails, on starts in a real folder with a manager in memory."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.parts.repository import ROOT

OLD, NEW = "261122-185409", "261123-185409"
WEB = {"unit": "shop-web-1", "type": "web", "socket": "web.sock", "port": 0, "quiet": "", "overlap": True}
WORKER = {
    "unit": "shop-worker-1",
    "type": "worker",
    "socket": "",
    "port": 8100,
    "quiet": "TSTP",
    "overlap": False,
}
PROGRAMS = ("handover", "instances", "watch", "processes", "lastlines", "loglines")


class Manager:
    """A process manager in memory: what runs, and what it was asked."""

    def __init__(self, programs: ModuleType) -> None:
        self.programs, self.running, self.asked = programs, set[tuple[str, str]](), list[str]()
        self.broken, self.own = "", False

    def start(self, instance: Any, processes: Any) -> None:
        self.running |= {(instance.name, each["unit"]) for each in processes}

    def restart(self, instance: Any, processes: Any) -> None:
        self.asked += [f"restart {each['unit']} {instance.name}" for each in processes]

    def end(self, instance: Any, processes: Any, wait: bool) -> None:
        self.running -= {(instance.name, each["unit"]) for each in processes}

    def look(self, instance: Any, processes: Any) -> list[Any]:
        watch = self.programs.watch
        return [
            watch.Service(
                each["unit"],
                watch.GOOD
                if (instance.name, each["unit"]) in self.running and instance.release_id != self.broken
                else watch.FAILED,
                f"{each['unit']} ended",
            )
            for each in processes
        ]

    def is_running(self, instance: Any) -> bool:
        return any(name == instance.name for name, _ in self.running)

    def signal(self, instance: Any, process: Any, name: str) -> None:
        self.asked.append(f"{name} {process['unit']} {instance.name}")

    def log(self, instance: Any, process: Any) -> str:
        return "it ended"

    def has_own(self) -> bool:
        return self.own

    def can_restore_own(self) -> bool:
        return False

    def end_own(self) -> None:
        self.asked.append("end own")

    def has_made(self, instance: Any) -> bool:
        return all(Path(instance.file(f"{each['unit']}.conf")).exists() for each in instance.processes)

    def __getattr__(self, name: str) -> Any:
        return lambda *words: None


class Proof:
    """The checks: the manager's word alone."""

    def __init__(self, programs: ModuleType) -> None:
        self.programs = programs

    def files(self, release: str) -> dict[str, str]:
        return {"processes.json": json.dumps([WEB, WORKER]), "shop-web-1.conf": "", "shop-worker-1.conf": ""}

    def check(self, manager: Manager, instance: Any, parts: Any, answers: int, front: str = "") -> None:
        for each in manager.look(instance, parts):
            if each.verdict != self.programs.watch.GOOD:
                raise self.programs.watch.EndedError(each.text)
        for each in parts:
            if each["socket"]:
                Path(instance.file(each["socket"])).touch()


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module `handover`, which imports its own as a host does."""
    monkeypatch.syspath_prepend(str(ROOT / "faprelease/host/programs"))
    import handover  # type: ignore[import-not-found]

    yield handover
    for name in PROGRAMS:
        sys.modules.pop(name, None)


class Site:
    """A host with the releases OLD and NEW."""

    def __init__(self, programs: ModuleType, folder: Path) -> None:
        self.programs, self.folder, self.manager = programs, folder, Manager(programs)
        (folder / "state").mkdir()
        for release in OLD, NEW:
            (folder / release / ".fap/handover").mkdir(parents=True)
        self.run = programs.instances.Run(str(folder / "run"))

    def of(self, release: str) -> Any:
        folder = self.folder
        return self.programs.Handover(
            self.manager, f"{folder}/run", f"{folder}/state", "", f"{folder}/{release}"
        )

    def start(self, release: str, undo: str = "") -> None:
        self.of(release).start("", undo, ".env", Proof(self.programs))

    def hand_over(self, release: str) -> None:
        self.start(release)
        self.of(release).switch()
        self.of(release).finish("", "0")

    @property
    def front(self) -> str:
        return str((self.folder / "run/web.sock").readlink())


@pytest.fixture
def site(programs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(programs, "ACCEPTED", 0)
    return Site(programs, tmp_path)


def test_an_old_release_that_does_not_start_again_takes_no_requests_away(site: Site) -> None:
    site.hand_over(OLD)
    site.hand_over(NEW)
    site.manager.broken = OLD
    with pytest.raises(site.programs.watch.EndedError, match="shop-web-1 ended"):
        site.start(OLD, undo="yes")
    with pytest.raises(
        site.programs.watch.EndedError, match=f"{OLD} does not run, so what answers now goes on"
    ):
        site.of(OLD).switch()
    site.of(OLD).finish("yes", "0")
    assert site.front == f"{NEW}-1/web.sock"
    assert (f"{NEW}-1", "shop-web-1") in site.manager.running


@pytest.mark.parametrize("then", ["finish", "undo"])
def test_workers_that_are_quiet_work_again_if_nothing_was_switched(site: Site, then: str) -> None:
    site.hand_over(OLD)
    site.start(NEW)
    assert site.manager.asked == [f"TSTP shop-worker-1 {OLD}-1"]
    site.run.newest(NEW).end()
    with pytest.raises(site.programs.watch.EndedError, match=r"take no more jobs.*: shop-worker-1"):
        site.of(OLD).check("0", "", "", Proof(site.programs))
    if then == "undo":
        site.start(OLD, undo="yes")
        site.of(OLD).switch()
    site.of(OLD).finish("yes", "0")
    assert site.manager.asked[1:] == [f"restart shop-worker-1 {OLD}-1"]


def test_workers_that_ended_are_not_restarted(site: Site) -> None:
    site.hand_over(OLD)
    site.hand_over(NEW)
    assert site.manager.asked == [f"TSTP shop-worker-1 {OLD}-1"]


def test_a_start_that_was_told_to_stop_is_not_used_again(site: Site) -> None:
    site.hand_over(OLD)
    site.start(NEW)
    site.of(NEW).switch()
    site.run.newest(OLD).end()
    site.start(OLD)
    assert site.run.newest(OLD).is_ready


def test_a_process_that_the_new_release_lacks_is_not_kept(site: Site, programs: ModuleType) -> None:
    site.hand_over(OLD)
    kept = site.run.newest(OLD)
    more = [WEB, WORKER, {**WEB, "unit": "shop-web-2", "socket": "web-2.sock"}]
    Path(kept.file("processes.json")).write_text(json.dumps(more))
    site.manager.start(kept, kept.processes)
    site.start(NEW)
    site.of(NEW).switch()
    site.manager.end_later = lambda instance: True
    site.of(NEW).finish("", "300")
    assert {unit for name, unit in site.manager.running if name == f"{OLD}-1"} == {"shop-web-1"}


def test_a_start_that_was_cut_off_while_it_was_written_is_ended(site: Site) -> None:
    site.hand_over(OLD)
    site.run.make(f"{site.folder}/{NEW}", {"processes.json": '[{"unit": "shop-w'}, ".env")
    assert site.run.newest(NEW).processes == []
    site.hand_over(NEW)
    assert site.front.startswith(f"{NEW}-")


def test_a_first_handover_after_one_that_was_undone_leaves_the_old_port_alone(site: Site) -> None:
    (site.folder / OLD / ".fap/handover").rmdir()
    site.manager.own = True
    site.hand_over(NEW)
    site.start(OLD, undo="yes")
    site.of(OLD).switch()
    site.of(OLD).finish("yes", "0")
    later = "261124-185409"
    (site.folder / later / ".fap/handover").mkdir(parents=True)
    site.hand_over(later)
    assert "end own" not in site.manager.asked


def test_starts_of_another_process_manager_are_not_forgotten(site: Site) -> None:
    site.hand_over(OLD)
    (site.folder / f"run/{OLD}-1/shop-web-1.conf").unlink()
    with pytest.raises(site.programs.watch.EndedError, match=f"another process manager runs .*: {OLD}-1"):
        site.of(NEW).ask("", "", "")
    assert site.front == f"{OLD}-1/web.sock"
