"""Any content of a project's files gives a value or a UsageError."""

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from packaging.markers import default_environment

from artifact_store.core.errors import FapError, UsageError
from fapbuild.locks import parse_lock, pylock, requirements_file
from fapbuild.onboarding import detection, init
from fapbuild.project import config
from fapbuild.wheels import facts
from tests.parts.lock_texts import LOCK, PYLOCK
from tests.parts.wheelhouse import make_wheel

HERE = {key: str(value) for key, value in default_environment().items()}
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

KEYS = st.sampled_from(
    [
        *config.BuildSettings.__struct_fields__,
        *config.Assets.__struct_fields__,
        *("tool", "fapbuild", "project", "dependencies", "optional-dependencies", "dependency-groups"),
        *("include-group", "poetry", "uv", "workspace", "scripts", "build"),
        *("lock-version", "created-by", "packages", "wheels", "sdist", "vcs", "directory", "archive", "url"),
        *("hashes", "sha256", "version", "marker", "requires-python", "path", "commit-id", "type", "index"),
    ]
)
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(
        [
            *(
                "a",
                "..",
                "/",
                "",
                "[",
                "git",
                "1.0",
                "flask>=3",
                "x @ git+https://h/x@main",
                "x; os_name",
                "2*",
            ),
            *(
                "https://a:b@c/d",
                "https://[::1",
                "//",
                "src",
                "'x' in extras",
                "python_version < '3'",
                "1" * 64,
            ),
            *("https://h/a-1.0-py3-none-any.whl", "uv.lock", "../uv.lock", "cp312-manylinux_2_28_x86_64"),
        ]
    ),
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(KEYS, TEXTS), inner, max_size=4)
    ),
    max_leaves=12,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=6)


def toml(value: Any) -> str:
    """A value as TOML. Its strings are JSON's, except for the delete character."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value).replace("\x7f", "\\u007f")


def document(table: Mapping[str, Any]) -> str:
    return "".join(f"{toml(key)} = {toml(value)}\n" for key, value in table.items())


def mutated(draw: st.DrawFn, text: str) -> str:
    """A good text with a few pieces removed, doubled, or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 30)))
        text = text[:start] + draw(st.one_of(TEXTS, st.just(text[start:stop] * 2))) + text[stop:]
    return text


near_lock = st.composite(lambda draw: mutated(draw, LOCK))()
near_pylock = st.composite(lambda draw: mutated(draw, PYLOCK))()
lines = st.lists(
    st.builds(
        "".join,
        st.lists(
            st.one_of(
                TEXTS,
                st.sampled_from(
                    [
                        "-e ",
                        "-r ",
                        "--hash=sha256:",
                        "@",
                        " @ ",
                        "==",
                        ";",
                        "[",
                        "]",
                        "#egg=",
                        "git+",
                        "\\",
                        "file:",
                    ]
                ),
            ),
            max_size=6,
        ),
    ),
    max_size=4,
).map("\n".join)


def refusal(read: Callable[[], object]) -> str:
    """The message of its UsageError; empty if it gives a value."""
    try:
        read()
    except UsageError as error:
        return error.message
    return ""


def folder(where: Path, text: str, name: str) -> Path:
    (where / name).write_text(text, encoding="utf-8", newline="")
    return where


@SLOW
@given(TABLES)
@example({"tool": 1})
@example({"project": {"name": "x"}, "dependency-groups": {"a": [{"include-group": "a"}]}})
def test_any_settings(tmp_path: Path, table: dict[str, Any]) -> None:
    for name, text in (
        (config.OWN_FILE, document(table)),
        (config.PYPROJECT, document({"project": {"name": "x"}, "tool": {"fapbuild": table}})),
        (config.PYPROJECT, document(table)),
    ):
        where = folder(tmp_path, text, name)
        assert refusal(partial(config.load, where)) or config.load(where).settings.app
        (tmp_path / name).unlink()


@given(st.binary(max_size=60))
def test_any_bytes_as_settings(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    where = tmp_path_factory.getbasetemp()
    (where / config.OWN_FILE).write_bytes(b'app = "x"\n' + data)
    assert refusal(lambda: config.load(where)) or config.load(where).settings.app
    (where / config.OWN_FILE).unlink()


@SLOW
@given(st.one_of(near_pylock, TABLES.map(document), st.text(st.characters(codec="utf-8"))))
def test_any_pylock(text: str) -> None:
    def read() -> None:
        pins = pylock.read(text, "pylock.toml", Path("/project"), HERE, ["fast"])
        assert all(pin.name and (pin.sha256s or pin.origin) for pin in pins)

    said = refusal(read)
    assert not said or said.startswith("pylock.toml")


@SLOW
@given(st.one_of(near_lock, lines))
@example("a @ https://[/x --hash=sha256:" + "1" * 64)
@example("-i https://[::1")
@example("x==1; " + "(" * 300 + " --hash=sha256:" + "1" * 64)
def test_any_requirements_lock(text: str) -> None:
    def read() -> None:
        pins = parse_lock(text, "lock", HERE, lambda path: "named")
        assert all(pin.name and (pin.sha256s or pin.origin) for pin in pins)

    said = refusal(read)
    assert not said or said.startswith("lock")


@SLOW
@given(st.one_of(near_lock, lines))
def test_any_requirements(tmp_path: Path, text: str) -> None:
    where = folder(tmp_path, text, "requirements.in")

    def read() -> None:
        required = requirements_file.read(where, "requirements.in")
        assert all(requirement.name for requirement in required.packages)
        requirements_file.stale(required, (), HERE)

    refusal(read)  # anything but a UsageError is a failure


@SLOW
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "pyproject.toml",
                "a/package.json",
                "package-lock.json",
                "manage.py",
                "requirements.txt",
                "uv.lock",
            ]
        ),
        st.one_of(TABLES.map(document), TABLES.map(json.dumps), TEXTS),
    ),
    TEXTS,
)
def test_init_of_any_tree_writes_settings_that_load(tmp_path: Path, files: dict[str, str], name: str) -> None:
    try:
        detected = detection.detect(sorted(files), lambda path: files.get(path, ""), name)
    except UsageError:
        return
    loaded = config.load(folder(tmp_path, init.render(detected, ""), config.OWN_FILE))
    assert loaded.settings.app == detected.app
    assert init.summary(detected, config.OWN_FILE)


@SLOW
@given(data=st.data())
@pytest.mark.parametrize("tag", ["py3-none-any", "cp311-cp311-linux_x86_64"])
def test_a_damaged_wheel_has_facts_or_is_none(tmp_path: Path, tag: str, data: st.DataObject) -> None:
    wheel = make_wheel(tmp_path, "parts")
    damaged = bytearray(wheel.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    wheel.write_bytes(damaged)
    with contextlib.suppress(FapError):
        facts.read(wheel, f"parts-1-{tag}.whl")


def test_an_encrypted_wheel_is_none(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "parts")
    # The flags in both headers of a member (APPNOTE.TXT, 4.3.7 and 4.3.12); bit 0: encrypted.
    flags = re.compile(rb"(PK\x03\x04..|PK\x01\x02....)(.)", re.DOTALL)
    wheel.write_bytes(flags.sub(lambda found: found[1] + bytes([found[2][0] | 1]), wheel.read_bytes()))
    with pytest.raises(FapError, match=r"is not a valid wheel: .*encrypted"):
        facts.read(wheel, "parts-1-py3-none-any.whl")
