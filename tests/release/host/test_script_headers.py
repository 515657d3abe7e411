"""The `# Needs:` header of each script for hosts says what it uses, and callers give exactly that."""

import ast
import shlex
import subprocess
from collections.abc import Iterator
from inspect import Parameter, signature
from pathlib import Path

import pytest

from faprelease.config import target as config
from faprelease.config.deployfile import DeployFile
from faprelease.plugins import hooks, registry, systemd
from faprelease.steps.host_files import HostScript, needs_of, parse, read_script, with_libraries
from faprelease.steps.model import host_script
from tests.parts.shell_names import names_in

ROOT = Path(__file__).parent.parent.parent.parent
HOST = ROOT / "faprelease/host"
SCRIPTS = sorted(str(path.relative_to(HOST).with_suffix("")) for path in HOST.rglob("*.sh"))
LIBRARIES = [name for name in SCRIPTS if name.startswith("lib/")]
ENVIRONMENT = {"FAP_SESSION", "HOME", "IFS", "PATH", "PWD", "TMPDIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"}
"""What a script may use without naming it; the session sets FAP_SESSION."""
SESSION = "session/session"
"""The only script that `preamble` reads, and no step."""


def problems(script: HostScript) -> Iterator[str]:
    """Where the headers and the text of a script disagree."""
    names = names_in(script.text)
    libraries = with_libraries(script.libraries)
    given = {name for library in libraries for name in library.gives}
    yield from (f"uses {name}" for name in names.unset - script.needs - given - ENVIRONMENT)
    yield from (f"does not use {name}" for name in script.needs - names.used - names.called)
    yield from (f"does not set {name}" for name in script.gives - names.sets)
    for library in LIBRARIES:
        found = names_in(read_script(library).text)
        is_used = names.called & found.defines or names.used & read_script(library).gives - script.needs
        if library == script.name:
            continue
        if names.called & found.defines and library not in script.libraries:
            yield f"calls {library}"
        if library in script.libraries and not is_used:
            yield f"does not call {library}"


def overwritten(scripts: list[HostScript]) -> Iterator[str]:
    """Variables of a step that one of its scripts needs, and an earlier one uses for something of its own."""
    spoilt: set[str] = set()
    for script in scripts:
        yield from spoilt & script.needs
        spoilt = (spoilt | names_in(script.text).sets) - script.gives


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_what_it_needs(name: str) -> None:
    assert list(problems(read_script(name))) == []


@pytest.mark.parametrize("shell", [["dash"], ["busybox", "sh"]], ids=" ".join)
@pytest.mark.parametrize("name", SCRIPTS)
def test_each_shell_can_parse_it(name: str, shell: list[str]) -> None:
    text = read_script(name).text
    done = subprocess.run([*shell, "-n"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


GOOD = """\
# Add a line. The rest is on stdin.
# Needs: lib/guard.sh, state, line (what is
#   added, in one line), extra.
# Gives: number.
hold_guard "$state" || exit 1
number=$(cat "$state/number")
for each in $extra; do
  echo "$line $((number + 1)) $each: $(wc -l <"$HOME/it's $state")" 'not $this' # nor $that
done
"""


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("", "", ""),
        ("state, line", "line", "uses state"),
        (", extra", "", "uses extra"),
        ("$extra", "$extras", "uses extras"),
        ("$extra", "$extras", "does not use extra"),
        ('"$state/number"', '"$state/${key}"', "uses key"),
        ("number + 1", "count + 1", "uses count"),
        ('wc -l <"$HOME', 'wc -l <"$folder', "uses folder"),
        ("state, line", "state, more, line", "does not use more"),
        ("Gives: number", "Gives: number, total", "does not set total"),
        ("number=", "count=", "does not set number"),
        ("lib/guard.sh, ", "", "calls lib/guard"),
        ("lib/guard.sh, ", "lib/guard.sh, lib/link.sh, ", "does not call lib/link"),
        ('hold_guard "$state"', 'cd "$state"', "does not call lib/guard"),
        ("for each in $extra", 'each="$each $extra"; while false', "uses each"),
        ('echo "', "cat <<.\n$unknown\n.\n" + 'echo "', "uses unknown"),
    ],
)
def test_a_broken_script_would_be_found(before: str, after: str, problem: str) -> None:
    assert before in GOOD
    found = list(problems(parse("good", GOOD.replace(before, after))))
    assert problem in found if problem else found == []


@pytest.mark.parametrize(
    "header", ["# Needs: state", "# Needs: a b.", "# Needs: lib/guard.", "# Needs: A.", "# Needs: a,\n# b."]
)
def test_a_header_that_can_not_be_read_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match=r"good.sh has a header that can't be read"):
        parse("good", f"{header}\necho\n")


def test_a_host_gets_each_library_once_and_no_header() -> None:
    step = host_script("lock", "lock/lock", "once/begin", **_empty(["lock/lock", "once/begin"]))
    for name in ("hold_guard", "process_of"):
        assert step.script.count(f"\n{name}() {{") == 1
    assert "Needs:" not in step.script


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"state": "/s"}, r"missing \['key'\], unused \[\]"),
        ({"state": "/s", "key": "", "id": ""}, r"missing \[\], unused \['id'\]"),
    ],
)
def test_a_caller_gives_exactly_what_is_needed(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = parse("release/key", "# Needs: state, key.\n")
    monkeypatch.setattr("faprelease.steps.model.with_libraries", lambda _: [script])
    with pytest.raises(TypeError, match=f"release/key: {said}"):
        host_script(
            "keep a key", "release/key", limit=1, trusted=True, kind="other", shown=False, **variables
        )


def _empty(names: list[str]) -> dict[str, str]:
    return dict.fromkeys(needs_of(with_libraries(names)), "")


def calls() -> Iterator[tuple[str, list[str], set[str]]]:
    """Each call of `host_script`: where it is, the scripts that it names, and the variables that it gives."""
    parameters = signature(host_script).parameters.values()
    options = {each.name for each in parameters if each.kind is Parameter.KEYWORD_ONLY}
    for path in sorted((ROOT / "faprelease").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "host_script"
            ):
                names = [ast.literal_eval(each) for each in node.args[1:]]
                yield f"{path.name}:{node.lineno}", names, {str(each.arg) for each in node.keywords} - options


CALLS = list(calls())


@pytest.mark.parametrize(("names", "given"), [each[1:] for each in CALLS], ids=[each[0] for each in CALLS])
def test_each_call_gives_what_the_scripts_need(names: list[str], given: set[str]) -> None:
    scripts = with_libraries(names)
    assert given == needs_of(scripts)
    assert list(overwritten(scripts)) == []
    assert not set(names) & set(LIBRARIES), "headers name them"


def test_a_variable_that_is_overwritten_would_be_found() -> None:
    first, second = parse("first", "id=1 line=2\n# Gives: id.\n"), parse("second", "# Needs: id, line.\n")
    assert list(overwritten([first, second])) == ["line"]


def test_each_script_is_called() -> None:
    named = {name for _, names, _ in CALLS for name in names}
    libraries = {library for name in SCRIPTS for library in read_script(name).libraries}
    assert set(SCRIPTS) == named | libraries | {SESSION}


def test_each_action_of_systemd_gets_its_options() -> None:
    values = {
        "app_name": "shop",
        "plugins": ["systemd"],
        "stage_role_configs": {"production": {"web": {"hosts": ["web1"]}}},
    }
    file = DeployFile("deploy.yml", values, {})
    (target,) = config.targets(file, "production", None, {}, registry.options_of(file))
    context = hooks.Context(target, "release", "/new", "")
    functions = {
        node.name: {each.arg for each in node.args.args}
        for node in ast.parse((HOST / "programs/systemd.py").read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    actions = set()
    for signal in ("looking", "published", "checking", "explaining", "failed"):
        *_, step = getattr(systemd, f"deploy_{signal}")(context)
        _, _, call = step.script.rpartition(" systemd ")
        action, *words = shlex.split(call)
        options = {word.partition("=")[0] for word in words}
        assert options == functions[action] - {"manager"} | {"user"}
        actions.add(action)
    assert actions == {"ask", "restart", "check", "log"}
