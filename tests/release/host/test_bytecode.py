"""Hosts use the bytecode that an artifact brings, for its own wheels and sources only."""

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.parts import host_install
from tests.parts.artifacts import artifact
from tests.parts.compiled import forged, true_bytecode
from tests.parts.installer import install, output, site_of
from tests.parts.laid_out import with_wheels
from tests.parts.packed_shop import packed
from tests.parts.place import Place
from tests.parts.tgz import root_of
from tests.parts.wheelhouse import make_wheel

__all__ = ["packed"]

SOURCES = {
    "what.py": "SAYS = 'the source'\n",
    "deep/er/what.py": "SAYS = 'the source'\n",
    "bad.py": "{{ x }}\n",
}
FALSE = "SAYS = 'the bytecode'\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wheel(tmp_path_factory.mktemp("wheels"), "parts", also=SOURCES)


class Machine:
    """A host with one cache for all apps."""

    def __init__(self, root: Path, packed: Path, wheel: Path) -> None:
        self.root, self.cache, self._packed, self._wheel = root, root / "cache", packed, wheel

    def release(self, app: str, name: str, bytecode: bytes | None) -> Path:
        folder = self.root / app / "releases" / name
        folder.mkdir(parents=True)
        subprocess.run(["tar", "xzf", self._packed], cwd=folder, check=True)
        return with_wheels(folder, [self._wheel], {self._wheel.name: bytecode or b""}, app=app)

    def install(self, release: Path) -> subprocess.CompletedProcess[str]:
        return host_install.install(release, self.cache)

    def said(self, app: str, name: str, bytecode: bytes | None) -> set[str]:
        """Install; what the two modules say then."""
        release = self.release(app, name, bytecode)
        done = self.install(release)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return says(release)


@pytest.fixture
def machine(tmp_path: Path, packed: Path, wheel: Path) -> Machine:
    return Machine(tmp_path, packed, wheel)


def says(release: Path) -> set[str]:
    code = "import what, deep.er.what; print(what.SAYS, deep.er.what.SAYS, sep='\\n')"
    return set(output(release / "venv/bin/python", "-c", code).splitlines())


def compiled_in(release: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in site_of(release).rglob("*.pyc")}


def test_it_is_used_and_is_what_the_host_would_have_compiled(machine: Machine, wheel: Path) -> None:
    assert machine.said("shop", "1", true_bytecode(wheel)) == {"the source"}
    assert machine.said("other", "1", None) == {"the source"}
    with_it, without = (machine.root / app / "releases/1" for app in ("shop", "other"))
    assert set(compiled_in(with_it)) == set(compiled_in(without)) != set()
    assert not (with_it / "wheels").exists()
    assert machine.said("fourth", "1", forged(SOURCES, FALSE)) == {"the bytecode"}, "it is not compiled here"


def test_by_hand_it_is_used_too(machine: Machine) -> None:
    release = machine.release("shop", "1", forged(SOURCES, FALSE))
    assert install(release).returncode == 0
    assert says(release) == {"the bytecode"}


UNUSED = {
    "another Python": forged(SOURCES, FALSE, magic=b"\x01\x02\r\n"),
    "sources that are checked by their times": forged(SOURCES, FALSE, flags=0),
    "other sources": forged({path: f"{text}#" for path, text in SOURCES.items()}, FALSE),
    "files elsewhere": forged({"../../../../evil.py": "", "/tmp/evil.py": "", "what.txt": ""}, FALSE),
    "nothing": forged({}, FALSE),
}


@pytest.mark.parametrize("bytecode", UNUSED.values(), ids=UNUSED)
def test_what_is_not_of_this_python_and_these_sources_is_compiled(bytecode: bytes, machine: Machine) -> None:
    assert machine.said("shop", "1", bytecode) == {"the source"}
    release = machine.root / "shop/releases/1"
    assert len([name for name in compiled_in(release) if name.startswith("what.")]) == 1
    assert not list(machine.root.rglob("evil*"))
    by_hand = machine.release("hand", "1", bytecode)
    assert install(by_hand).returncode == 0
    assert says(by_hand) == {"the source"}


def test_one_app_can_not_give_its_bytecode_to_others(machine: Machine, wheel: Path) -> None:
    assert machine.said("hostile", "1", forged(SOURCES, FALSE)) == {"the bytecode"}
    assert machine.said("good", "1", None) == {"the source"}
    assert machine.said("compiled", "1", true_bytecode(wheel)) == {"the source"}
    assert machine.said("hostile", "2", None) == {"the source"}, "not to its own next release either"
    assert machine.said("hostile-second", "1", None) == {"the source"}


def test_damage_is_refused(machine: Machine, wheel: Path) -> None:
    good = true_bytecode(wheel)
    for number, bad in enumerate((b"not gzip at all", good[:-30], b"")):
        release = machine.release("shop", str(number), bad or good)
        if not bad:
            next((release / "wheels").glob("*.bytecode")).unlink()
        done = machine.install(release)
        assert done.returncode == 6
        assert (
            "is damaged: " in done.stdout or "is missing or damaged: fetch the artifact again" in done.stdout
        )
        assert install(release).returncode == 6
        shutil.rmtree(host_install.state_of(release))
    release = machine.release("shop", "changed", good)
    (path,) = (release / "wheels").glob("*.bytecode")
    path.write_bytes(forged(SOURCES, FALSE))
    assert machine.install(release).returncode == 6
    (release / "wheels" / "evil.bytecode").write_bytes(good)
    path.write_bytes(good)
    done = machine.install(release)
    assert done.returncode == 6
    assert "wheels/evil.bytecode does not belong to this artifact: remove it" in done.stdout


def test_it_moves_with_its_wheel(tmp_path: Path, wheel: Path) -> None:
    """A host that lacks the wheel fetches both; one that has them, of these bytes, neither."""
    python = "cp{}{}".format(*sys.version_info[:2])
    wheels, bytecode = {wheel.name: wheel.read_bytes()}, {wheel.name: true_bytecode(wheel)}
    made = artifact(tmp_path / "shop.tgz", {".fap/installer/__main__.py": b""}, wheels, bytecode=bytecode)
    data = made.read_bytes()
    unpacked = []
    for kept in ("", sha256(bytecode[wheel.name]).hexdigest(), "0" * 64):
        place = Place(tmp_path / f"host{kept}" / "app")
        name = sha256(wheel.name.encode()).hexdigest()[:16]
        parts = [sha256(wheels[wheel.name]).hexdigest(), name, kept, python, "2"]
        entry = place.cache / "wheels" / "-".join(filter(None, parts))
        entry.mkdir(parents=True)
        (entry / "digest").touch()
        done = place.fetch(made.as_uri(), sha256(data).hexdigest(), of_root=root_of(data))
        assert done.returncode == 0, done.stdout
        unpacked.append({path.name for path in place.release.glob("wheels/*")})
        (code,) = (place.cache / "artifacts/shop").iterdir()
        assert bytecode[wheel.name] not in code.read_bytes()
    both = {wheel.name, f"{wheel.name}.bytecode"}
    assert unpacked == [both, set(), both]
