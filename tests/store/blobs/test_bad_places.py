"""Places that are full, read-only or refuse; clocks that are wrong; names in other alphabets."""

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from botocore import compat

from artifact_store.blobs.open import open_blobs
from artifact_store.core.actor import Actor
from artifact_store.core.errors import StoreError
from artifact_store.gc.references import Retention
from artifact_store.store.maintenance import plan_gc
from artifact_store.store.store import Store, open_store
from tests.parts.tgz import tgz

FAPSTORE = Path(sys.executable).with_name("fapstore")


def in_own_mounts(script: str, *words: str | Path) -> Sequence[str]:
    """The lines that a script prints which may mount things; each of its commands' errors ends it."""
    own = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-euc", script, "sh"]
    done = subprocess.run([*own, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


FULL = """
store=$1 fapstore=$2 large=$3 small=$4
mkdir "$store"; mount -t tmpfs -o size=6m tmpfs "$store"
head -c 4m /dev/zero > "$store/filler"
"$fapstore" --store "$store" push "$large" 2>&1 && exit 9
find "$store" -type f -size +0 ! -name filler
"$fapstore" --store "$store" list shop 2>&1 && exit 9
rm "$store/filler"
"$fapstore" --store "$store" push "$large" 2>&1
"$fapstore" --store "$store" push "$small" 2>&1
"$fapstore" --store "$store" fetch shop 1 -o "$store.fetched"
cmp "$large" "$store.fetched"
"""


def test_a_disk_that_fills_holds_no_half_version_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    large = tgz(tmp_path, files={"data": os.urandom(3 << 20)})
    small = tgz(tmp_path / "small", version="2")
    said = in_own_mounts(FULL, tmp_path / "store", FAPSTORE, large, small)
    assert "No space left on device" in said[0]
    assert said[1].startswith("hint: check space")
    assert "contains no version of shop" in said[2], "nothing was left, and nothing exists"
    assert [line for line in said if line.startswith("pushed")] == ["pushed shop 1", "pushed shop 2"]


READ_ONLY = """
store=$1 fapstore=$2 one=$3 two=$4
mkdir "$store"; mount -t tmpfs tmpfs "$store"
"$fapstore" --store "$store" init >&2
"$fapstore" --store "$store" push "$one" >&2
find "$store" -exec touch -d "1 hour ago" {} +  # so that it is old whatever the clock does
mount -o remount,ro "$store"
for words in "push $two" "promote shop 1 production" "gc shop --no-stages --grace 0s --wait 0s"; do
  "$fapstore" --store "$store" $words 2>&1 >/dev/null | grep -e "can't be written" -e "^hint"
done
"$fapstore" --store "$store" list shop
"$fapstore" --store "$store" stages shop 2>&1 && exit 9
"$fapstore" --store "$store" fetch shop 1 -o "$store.fetched"
"""


def test_a_read_only_place_is_read_and_says_so_to_who_writes(tmp_path: Path, one: Path, two: Path) -> None:
    said = in_own_mounts(READ_ONLY, tmp_path / "store", FAPSTORE, one, two)
    for first in range(0, 6, 2):
        assert "Read-only file system" in said[first]
        assert said[first + 1].startswith("hint: check space, permissions")
    assert said[6].startswith("1  ")
    assert "no version of shop is on a stage" in said[7]


@pytest.mark.s3
@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_told_and_change_nothing(
    s3_url: str, one: Path, two: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    right = open_store(s3_url)
    right.artifacts.publish(one, by=Actor("ann"))
    monkeypatch.setenv(name, "wrong")
    wrong = open_store(s3_url)
    for use in (
        lambda: wrong.artifacts.publish(two, by=Actor("eve")),
        lambda: wrong.stages.promote("shop", "1", "production", by=Actor("eve")),
        lambda: wrong.artifacts.list("shop"),
        lambda: wrong.stages.head("shop", "production"),
    ):
        with pytest.raises(StoreError, match="refused") as error:
            use()
        assert error.value.hint.startswith("check the AWS credentials")
        assert "wrong" not in error.value.message
    assert [record.version for record in right.artifacts.list("shop")] == ["1"]
    assert right.stages.head("shop", "production") is None


OFF = [timedelta(hours=1), timedelta(hours=-1)]


@pytest.mark.s3
@pytest.mark.parametrize("off", OFF)
def test_a_clock_that_s3_refuses_is_told(
    s3_url: str, one: Path, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    right = open_store(s3_url)
    true_time = compat.get_current_datetime
    with monkeypatch.context() as wrong:
        wrong.setattr("botocore.auth.get_current_datetime", lambda *rest: true_time(*rest) + off)
        with pytest.raises(StoreError, match="the clock of this machine is wrong: 20") as error:
            open_store(s3_url).artifacts.publish(one, by=Actor("ann"))
    assert "timedatectl" in error.value.hint
    assert right.artifacts.apps() == ()


@pytest.mark.parametrize("off", OFF)
def test_a_clock_that_is_wrong_changes_no_order(tmp_path: Path, one: Path, two: Path, off: timedelta) -> None:
    blobs = open_blobs(f"file://{tmp_path}/store")
    right, wrong = Store(blobs), Store(blobs, clock=lambda: datetime.now(UTC) + off)
    right.artifacts.publish(one, by=Actor("ann"))
    right.stages.promote("shop", "1", "production", by=Actor("ann"))
    wrong.artifacts.publish(two, by=Actor("bob"))
    wrong.stages.promote("shop", "2", "production", by=Actor("bob"))
    assert [entry.state.version for entry in right.stages.history("shop", "production")] == ["1", "2"]
    assert right.stages.rollback("shop", "production", by=Actor("ann")).state.version == "1"
    assert plan_gc(right, "shop", Retention(grace=timedelta())).is_empty


@pytest.mark.parametrize("kind", ["folder", pytest.param("s3", marks=pytest.mark.s3)])
def test_a_store_whose_name_is_in_another_alphabet(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, one: Path
) -> None:
    where = request.getfixturevalue("s3_url") if kind == "s3" else f"file://{tmp_path}"
    store: Store = open_store(f"{where}/läden und 店+1")
    store.artifacts.publish(one, by=Actor("Ånn"))
    store.stages.promote("shop", "1", "production", by=Actor("Ånn"), why="für alle 店")
    assert store.artifacts.apps() == ("shop",)
    assert [(entry.state.who, entry.state.why) for entry in store.stages.history("shop", "production")] == [
        ("Ånn", "für alle 店")
    ]
    assert store.artifacts.fetch("shop", "1", tmp_path / "got.tgz").read_bytes() == one.read_bytes()
    url = store.artifacts.link("shop", "1").url
    content = httpx.get(url).content if kind == "s3" else Path(httpx.URL(url).path).read_bytes()
    assert content == one.read_bytes()
