"""The rules of promotion as a table, and the file that states them."""

import json
import shutil
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifact_store.core.errors import UsageError
from artifact_store.records.releases import Outcome, ReleaseRecord, not_healthy
from artifact_store.stages.policy import Candidate, Policy, check_place, judge
from artifact_store.trust import rules
from tests.parts.records import RELEASE_RECORD as RECORD
from tests.parts.repository import ROOT
from tests.parts.signers import Signers

REFERENCE = ROOT / "docs" / "fapstore.toml"
RULES = Policy(
    app="shop",
    stages=("test", "staging", "production"),
    protected=("production",),
    require_released=True,
    approvals=2,
    approvers=("ann", "bob"),
    signers="allowed_signers",
    require_signatures=True,
)
GOOD: dict[str, Any] = {"version": "2", "signature": "5" * 64, "approved_by": ("ann", "bob")}


@pytest.mark.parametrize(
    ("stage", "action", "facts", "refused"),
    [
        ("production", "promote", {}, ""),
        ("production", "promote", {"dirty": True}, "clean"),
        ("production", "rollback", {"dirty": True}, "clean"),
        ("staging", "promote", {"dirty": True}, ""),
        ("production", "promote", {"was_before": False}, "order"),
        ("staging", "promote", {"was_before": False}, "order"),
        ("test", "promote", {"was_before": False}, ""),
        ("production", "rollback", {"was_before": False}, ""),
        ("production", "promote", {"not_released": "it is not healthy as web"}, "released"),
        ("staging", "promote", {"not_released": "it is not healthy as web"}, ""),
        ("production", "rollback", {"not_released": "it is not healthy as web"}, ""),
        ("production", "promote", {"was_before": False, "not_released": "no"}, "order"),
        ("production", "promote", {"approved_by": ()}, "approvals"),
        ("production", "promote", {"approved_by": ("ann",)}, "approvals"),
        ("production", "promote", {"approved_by": ("ann", "ann")}, "approvals"),
        ("production", "promote", {"approved_by": ("ann", "eve")}, "approvals"),
        ("production", "promote", {"approved_by": ("ann", "bob", "eve")}, ""),
        ("production", "rollback", {"approved_by": ()}, ""),
        ("staging", "promote", {"approved_by": ()}, ""),
        ("production", "promote", {"signature": ""}, "signed"),
        ("test", "promote", {"signature": ""}, "signed"),
        ("production", "rollback", {"signature": ""}, "signed"),
        ("production", "rollback", {"past_is_signed": False}, "signed"),
        ("production", "promote", {"past_is_signed": False}, ""),
        (
            "production",
            "promote",
            {"dirty": True, "approved_by": (), "signature": ""},
            "clean signed approvals",
        ),
    ],
)
def test_what_the_rules_refuse(stage: str, action: str, facts: dict[str, Any], refused: str) -> None:
    refusals = judge(RULES, "shop", stage, action, Candidate(**{**GOOD, **facts}))
    assert [refusal.rule for refusal in refusals] == refused.split()
    assert all(refusal.message and refusal.hint for refusal in refusals)


def test_without_rules_everything_goes_anywhere() -> None:
    worst = Candidate(version="2", dirty=True, was_before=False, not_released="no")
    assert judge(Policy(), "shop", "production", "promote", worst) == ()


def test_a_refusal_tells_what_is_there_and_what_to_type() -> None:
    (refusal,) = judge(RULES, "shop", "production", "promote", Candidate(**{**GOOD, "approved_by": ("ann",)}))
    assert refusal.message == "2 has 1 of 2 approvals (ann)"
    assert refusal.hint == "fapstore approve shop 2 production --key KEY"


@pytest.mark.parametrize(
    ("app", "stage", "says"),
    [("blog", "staging", "belong to shop, not to blog"), ("shop", "prodution", "is not one of the stages")],
)
def test_a_place_that_the_rules_do_not_know(app: str, stage: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_place(RULES, app, stage)


def record(role: str, entry: int, outcome: Outcome, release: str, **more: Any) -> ReleaseRecord:
    return msgspec.structs.replace(
        RECORD, role=role, entry=entry, outcome=outcome, release=release, operation=release, **more
    )


def gone_back(role: str, left: str, outcome: Outcome = "healthy") -> ReleaseRecord:
    return record(role, 0, outcome, "r0", action="rollback", previous=left, digest="b" * 64)


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "never released"),
        ([record("web", 3, "healthy", "r1")], ""),
        ([record("web", 3, "failed", "r1")], "not healthy as web"),
        ([record("web", 3, "undone", "r1"), record("web", 3, "healthy", "r2")], ""),
        ([record("web", 3, "healthy", "r1"), record("web", 3, "partly", "r2")], ""),
        ([record("web", 2, "healthy", "r1")], "never released"),
        ([record("web", 0, "healthy", "r1")], "never released"),
        ([record("web", 2, "healthy", "r1"), record("web", 3, "undone", "r2")], "not healthy as web"),
        ([record("web", 3, "healthy", "r1", digest="b" * 64)], "never released"),
        ([record("web", 3, "healthy", "r1"), record("worker", 3, "undone", "r1")], "not healthy as worker"),
        ([record("web", 3, "healthy", "r1"), record("worker", 4, "healthy", "r1")], ""),
        ([record("web", 3, "healthy", "r1"), gone_back("web", "r1")], "not healthy as web"),
        ([record("web", 3, "healthy", "r1"), gone_back("web", "r1", "partly")], "not healthy as web"),
        ([record("web", 3, "healthy", "r1"), gone_back("web", "r1", "failed")], ""),
        ([record("web", 3, "healthy", "r1"), gone_back("worker", "r1")], ""),
        ([record("web", 3, "healthy", "r1"), gone_back("web", "r1"), record("web", 3, "healthy", "r2")], ""),
    ],
)
def test_what_counts_as_released(records: list[ReleaseRecord], says: str) -> None:
    for order in (records, records[::-1]):
        reason = not_healthy(order, "a" * 64, {3, 4})
        assert says in reason
        assert bool(reason) == bool(says)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "allowed_signers").touch()
    return tmp_path


def test_every_key_is_in_the_reference_and_it_loads(folder: Path) -> None:
    assert set(tomllib.loads(REFERENCE.read_text())) == set(Policy.__struct_fields__)
    shutil.copy(REFERENCE, folder)
    loaded = rules.load(folder)
    assert loaded.policy.before("production") == "staging"
    assert loaded.signers == folder / "allowed_signers"


def test_rules_in_pyproject_are_the_same_rules(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.fapstore]\nstages = ["a", "b"]\n')
    (folder / "mine.toml").write_text('stages = ["a", "b"]\n')
    (folder / "none").mkdir()
    here, named = rules.load(folder), rules.load(folder / "none", folder / "mine.toml")
    assert here == named
    assert len(here.policy_digest) == 64
    assert rules.load(folder / "none") == rules.NO_RULES


def test_the_digest_covers_rules_and_signers(folder: Path) -> None:
    (folder / "fapstore.toml").write_text('signers = "allowed_signers"\n')
    digests = {rules.load(folder).policy_digest}
    Signers(folder).allow("ann")
    digests.add(rules.load(folder).policy_digest)
    (folder / "fapstore.toml").write_text('signers = "allowed_signers"\nstages = ["a"]\n')
    digests.add(rules.load(folder).policy_digest)
    assert len(digests) == 3


def test_signers_of_the_command_line_are_demanded(folder: Path) -> None:
    other = folder / "others"
    other.touch()
    loaded = rules.load(folder, signers=other)
    assert (loaded.signers, loaded.policy.require_signatures) == (other, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stage = []", "unknown key 'stage'"),
        ('stages = "production"', "stages: Expected `array`"),
        ('stages = ["a", "a"]', "is listed twice"),
        ('stages = ["../a"]', "is not a valid name for a stage"),
        ('app = "A b"', "is not a valid app name"),
        ('stages = ["a"]\nprotected = ["b"]', "b is not in stages"),
        (
            'stages = ["a"]\nprotected = ["a"]\nrequire_released = true',
            "no protected stage has a previous stage",
        ),
        ("approvals = 1", "approvals: 1, but no stage is protected"),
        ('protected = ["a"]\napprovals = -1', "approvals: -1"),
        ('protected = ["a"]\napprovals = 1', "there are no allowed signers"),
        ("require_signatures = true", "there are no allowed signers"),
        (
            'protected = ["a"]\napprovals = 2\napprovers = ["x", "x"]\nsigners = "s"',
            "2 required, but approvers: 1",
        ),
        ('signers = "nobody"', "nobody does not exist"),
        ('protected = ["a"]\nmax_age = "1w"', "fapstore.toml max_age: '1w' is not a duration"),
        ('protected = ["a"]\nmax_age = "0d"', "fapstore.toml max_age: 0 is too short"),
        ('max_age = "14d"', "fapstore.toml max_age: 14d, but no stage is protected"),
        ("stages = [", "fapstore.toml: "),
        ("\0", "fapstore.toml: "),
    ],
)
def test_rules_that_can_not_be(folder: Path, text: str, says: str) -> None:
    (folder / "fapstore.toml").write_text(text)
    with pytest.raises(UsageError) as error:
        rules.load(folder)
    assert says in error.value.message
    assert error.value.hint


def test_two_files_of_rules_are_one_too_many(folder: Path) -> None:
    (folder / "fapstore.toml").write_text("")
    (folder / "pyproject.toml").write_text("[tool.fapstore]\n")
    with pytest.raises(UsageError, match="both"):
        rules.load(folder)
    (folder / "pyproject.toml").write_text("[project]\n")
    assert rules.load(folder).policy == Policy()


def test_a_file_that_is_named_has_to_be_there(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project]\n")
    for name, says in (("none.toml", "can't be read: No such file"), ("pyproject.toml", r"has no \[tool")):
        with pytest.raises(UsageError, match=says):
            rules.load(folder, folder / name)


KEYS = st.sampled_from([*Policy.__struct_fields__, "tool", "tool.fapstore", "x"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=9)
    | st.sampled_from(["staging", "production"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


def toml(value: Any) -> str:
    """The value as TOML; JSON's lists, strings and numbers are."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return "nothing" if value is None else json.dumps(value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(KEYS, VALUES, max_size=5).map(
        lambda d: "\n".join(f"{k} = {toml(v)}" for k, v in d.items())
    )
    | st.text()
)
def test_any_file_gives_rules_or_says_what_is_wrong(folder: Path, text: str) -> None:
    for name in ("fapstore.toml", "pyproject.toml"):
        file = folder / "any" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, errors="surrogateescape" if text.isascii() else "replace")
        with suppress(UsageError):
            assert isinstance(rules.load(file.parent).policy, Policy)
        file.unlink()
