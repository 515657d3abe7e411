"""Hints: blanks are filled once, and nothing that a user named is ever taken for a blank."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store.core.errors import FapError
from artifact_store.core.finding import Finding
from artifact_store.core.hints import Hint


def test_a_blank_is_filled_where_the_stage_is_known() -> None:
    hint = Hint("see what each host runs: faprelease status {stage}")
    assert hint == "see what each host runs: faprelease status STAGE"
    assert hint.filled(stage="production") == "see what each host runs: faprelease status production"


def test_lines_keep_their_blanks_and_no_repeats() -> None:
    hint = Hint.lines([Hint("faprelease {place}"), "", "export {x}", Hint("faprelease {place}")])
    assert hint.filled(place="production web") == "faprelease production web\nexport {x}"


def test_a_field_without_a_value_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Hint("faprelease {rule}")


@given(st.text(), st.text())
def test_a_value_is_never_taken_for_a_blank(name: str, stage: str) -> None:
    hint = Hint("export {name}=… and then: faprelease {stage}", name=name)
    assert hint.filled(stage=stage, name="other") == f"export {name}=… and then: faprelease {stage}"
    assert FapError("", hint=name).hint.filled(stage=stage, place=stage, fapstore=stage) == name


@pytest.mark.parametrize("name", ["SHOP_STAGE", "STAGE ROLE", "{stage}", "{place}", "{", "fapstore "])
def test_a_users_own_name_stays(name: str) -> None:
    error = FapError("", hint=Hint.lines([f"export {name}=…", Hint("faprelease {place}")]))
    assert error.hint.filled(stage="s", place="s web") == f"export {name}=…\nfaprelease s web"


def test_a_finding_takes_a_hint_as_its_fix() -> None:
    """JSON is made of a finding, and msgspec encodes no subclass of str."""
    finding = Finding("access", "wrong", "no answer", FapError("", hint=Hint("{fapstore} doctor")).hint)
    assert msgspec.json.decode(msgspec.json.encode(finding))["fix"] == "fapstore doctor"
