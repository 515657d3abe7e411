"""deploy.yml as text: lines, layers of `%(name)s`, and what is wrong with it."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faprelease.config import deployfile
from faprelease.config.deployfile import DeployFile
from faprelease.errors import ConfigError
from tests.release.conftest import Write

FILE = DeployFile("deploy.yml", {}, {})


def test_every_key_knows_its_line(deploy_yml: Write) -> None:
    file = deployfile.read(
        deploy_yml("app_name: shop\n\nstage_role_configs:\n  production:\n    web:\n      path: /a\n")
    )
    assert file.where("app_name").endswith("deploy.yml, line 1")
    assert file.where("stage_role_configs", "production", "web", "path").endswith("deploy.yml, line 6")
    assert file.where("nowhere").endswith("deploy.yml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\nb: 2\n", r"deploy\.yml, line 2, column \d+: "),
        ("a: 'x\n", r"deploy\.yml, line \d, column \d+: "),
        ("a: b: c\n", r"deploy\.yml, line 1, column 5: "),
        ("\ta: 1\n", r"deploy\.yml, line 1, column 1: "),
        ("a: 1\nb: 2\na: 3\n", r"deploy\.yml, line 3: 'a' is set twice \(first in line 1\)"),
        ("x:\n  y:\n    a: 1\n    a: 2\n", r"deploy\.yml, line 4: 'a' is set twice \(first in line 3\)"),
        ("a: *nobody\n", r"deploy\.yml, line 1, column 4: "),
        ("", "contains no settings"),
        ("- a\n- b\n", "contains no settings"),
        ("just words\n", "contains no settings"),
        ("a: !!python/object:os.system x\n", r"deploy\.yml, line 1, column 4: "),
        ("a: 1\n---\nb: 2\n", r"deploy\.yml, line 2, column 1: "),
        ("released: 2026-99-99\n", "month must be in 1..12"),
        ("a: &loop\n  b: *loop\n", r"deploy\.yml, line 2: 'b' contains itself"),
        ("a: \x01\n", "deploy.yml"),
    ],
)
def test_a_broken_file_is_one_error_with_its_place(text: str, said: str, deploy_yml: Write) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        deployfile.read(deploy_yml(text))
    assert refused.value.hint


def test_a_file_that_is_not_there_or_no_text(deploy_yml: Write) -> None:
    path = deploy_yml("")
    path.write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(ConfigError, match="can't read"):
        deployfile.read(path)
    path.unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        deployfile.read(path)


def test_anchors_and_merges_are_plain_yaml(deploy_yml: Write) -> None:
    file = deployfile.read(deploy_yml("x-web: &web {path: /a, user: u}\nb:\n  <<: *web\n  user: v\n"))
    assert file.values["b"] == {"path": "/a", "user": "v"}


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        ("/srv/%(app)s", "/srv/shop"),
        ("%(app)s-%(app)s", "shop-shop"),
        ("%(two)s", "2 of shop"),
        (["%(app)s", ["%(app)s"], 1], ["shop", ["shop"], 1]),
        ({"a": "%(app)s", "%(app)s": 1}, {"a": "shop", "%(app)s": 1}),
        ("100%", "100%"),
        ("100%%", "100%"),
        ("%%(app)s", "%(app)s"),
        ("%d %s %(", "%d %s %("),
        ("%(nobody)s", "%(nobody)s"),
        ("%(nothing)s", "%(nothing)s"),
        ("%(app)d", "%(app)d"),
        (7, 7),
        (None, None),
    ],
)
def test_only_known_names_are_replaced(value: Any, expanded: Any) -> None:
    values = {"app": "shop", "two": "2 of %(app)s", "nothing": None, "value": value}
    assert deployfile.expand(values, (), FILE)["value"] == expanded


def test_flags_are_taken_as_they_are_also_through_other_keys() -> None:
    values = {"app": "%(user)s", "user": "me", "path": "/srv/%(app)s/%%"}
    assert deployfile.expand(values, ["app"], FILE) == {
        "app": "%(user)s",
        "user": "me",
        "path": "/srv/%(user)s/%",
    }


@pytest.mark.parametrize(
    ("values", "circle"),
    [
        ({"a": "%(a)s"}, "a → a"),
        ({"a": "%(b)s", "b": "%(c)s", "c": "x%(a)s"}, "a → b → c → a"),
        ({"a": ["%(b)s"], "b": {"k": "%(a)s"}}, "a → b → a"),
    ],
)
def test_a_circle_is_told(values: dict[str, Any], circle: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(circle)):
        deployfile.expand(values, (), FILE)


@given(st.text(alphabet="%()sabc x", max_size=40))
def test_text_without_known_names_only_loses_doubled_percents(text: str) -> None:
    expected = re.sub(r"%\(\w+\)s|%%", lambda match: "%" if match[0] == "%%" else match[0], text)
    assert deployfile.expand({"text-value": text}, (), FILE)["text-value"] == expected


def test_did_you_mean() -> None:
    with pytest.raises(ConfigError, match="line 3: unknown key 'linked_fils'") as refused:
        deployfile.refuse_unknown(["path", "linked_fils"], {"path", "linked_files"}, "deploy.yml, line 3")
    assert refused.value.hint == "did you mean 'linked_files'?"
    with pytest.raises(ConfigError, match="unknown stage 'zzz'") as refused:
        deployfile.refuse_unknown(["zzz"], ["staging", "production"], "here", "stage")
    assert refused.value.hint == "choose from: production, staging"
