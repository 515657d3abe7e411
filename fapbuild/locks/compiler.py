"""Runs pip-compile: from a project's requirements to a hashed lock that is the same on every machine."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from platform import python_version

from artifact_store.core import git
from artifact_store.core.errors import FapError, UsageError
from fapbuild import command, isolation
from fapbuild.locks import requirements_file
from fapbuild.locks.pins import check_secret
from fapbuild.project.config import PYPROJECT

_DIRECT = re.compile(r"(?:-e )?(?:(?P<name>[A-Za-z0-9][^\s@]*) @ )?(?P<url>(?:file:|git\+)\S+)(?P<rest>.*)$")
_UNVERSIONED = re.compile(r"-e |\.{1,2}/|git\+|[A-Za-z0-9][^\s@]* @ ")
_SHA = re.compile(r"[0-9a-f]{40}")
_TOO_OLD = re.compile(r"\b(Requires-Python [^;\n]+)")
_UNHASHED = ("# WARNING: pip install will require", "# Consider using a hashable URL")


def compile_lock(
    source: str,
    lines: Sequence[str],
    lock: str,
    folder: Path,
    work: Path,
    *,
    upgrade: bool = False,
    pass_env: Collection[str] = (),
    release: str = "",
) -> str:
    """Lock the requirements file `source` of the project in `folder`, or these `lines` if it is empty.

    Versions in the file `lock` are kept where they still fit, unless `upgrade`. Git branches and tags become
    the commits they name now; folders are written relative to the project. `pass_env` names variables that
    code of packages gets. `release` is the oldest Python of the hosts (`3.11.2`), if it is known. Returns the
    text of the lock.
    Raises FapError if pip-compile or git fails, UsageError for a URL with a secret.
    """
    output, named = work / "lock.txt", source
    current = folder / lock
    if current.is_file() and not upgrade:
        output.write_text(_without_direct(current.read_text(encoding="utf-8")), encoding="utf-8")
    if not source:
        source = str(work / "pyproject.in")
        Path(source).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    argv = ["piptools", "compile", "--no-config", "--generate-hashes"]
    argv += ["--allow-unsafe", "--no-strip-extras", "--no-emit-index-url", "--no-emit-find-links"]
    argv += ["--no-emit-trusted-host", "--resolver=backtracking", "--newline=lf"]
    try:
        try:
            _run([*argv, f"--output-file={output}", source], folder, pass_env, release)
        except command.ProgramError as error:
            if release or "ResolutionImpossible" not in error.output:
                raise
            # Releases of one minor version of Python may need different versions of a package.
            _run([*argv, f"--output-file={output}", source], folder, pass_env, None)
    except command.ProgramError as error:
        raise FapError(_plain(error.message), hint=_hint(error.output)) from error
    text = output.read_text(encoding="utf-8").replace(f"-r {work / 'pyproject.in'}", PYPROJECT)
    places = requirements_file.place_options(requirements_file.read(folder, named), lock) if named else []
    return "".join(f"{line}\n" for line in [*places, *_portable(text, lock, folder)])


def _run(argv: Sequence[str], folder: Path, pass_env: Collection[str], release: str | None) -> None:
    command.run(
        argv,
        start=isolation.pip(os.environ, pass_env, releases_from=release),
        cwd=folder,
        env={"CUSTOM_COMPILE_COMMAND": "fapbuild lock", "PIP_NO_INPUT": "1"},
        last_lines=10 * command.LAST_LINES,
    )


def _plain(message: str) -> str:
    """The message of pip-compile without its traceback."""
    text, _, trace = message.partition("\n  Traceback (most recent call last):")
    first, *lines = text.splitlines()
    raised = re.split(r"\n  (?=[A-Za-z_][\w.]*: )", trace)[-1] if trace else ""
    if raised:
        lines.append("  " + re.sub(r"^[\w.]+: ", "", raised))
    return "\n".join([first, *lines[-command.LAST_LINES :]])


def _hint(message: str) -> str:
    if found := _TOO_OLD.search(message):
        return (
            f"this is Python {python_version()}, and the requirements need another ({found[1].strip()}): "
            "lock with the Python of your hosts"
        )
    if "from versions: none" in message:
        if "Retrying (Retry(" in message:
            from fapbuild import pip_errors

            return pip_errors.hint(message, python_version())
        return "check the name, PIP_EXTRA_INDEX_URL, and the login of the index that has it"
    return "fix the requirements named above, then run `fapbuild lock`"


def _without_direct(text: str) -> str:
    """The lock without lines that have no version to keep: pip-compile can't read relative paths."""
    return "".join(f"{line}\n" for line in text.splitlines() if not _UNVERSIONED.match(line))


def _portable(text: str, lock: str, folder: Path) -> list[str]:
    lines = []
    for line in text.splitlines():
        match = _DIRECT.match(line)
        if match and match["url"].startswith("git+"):
            lines.append(_prefixed(match["name"], _pinned(match["url"], lock, folder) + match["rest"]))
        elif match:
            lines.append(
                _prefixed(match["name"], requirements_file.relative(match["url"], folder) + match["rest"])
            )
        elif not line.startswith(_UNHASHED):
            lines.append(line)
    return lines


def _prefixed(name: str | None, rest: str) -> str:
    return f"{name} @ {rest}" if name else rest


def _pinned(url: str, lock: str, folder: Path) -> str:
    """The git URL with the commit that its branch or tag names now (gitrevisions(7): `^{}` peels a tag)."""
    check_secret(url, lock)
    bare, hash_sign, fragment = url.partition("#")
    at = bare.rfind("@", bare.rfind("/"))
    repository, ref = (bare[:at], bare[at + 1 :]) if at > 0 else (bare, "HEAD")
    if not _SHA.fullmatch(ref):
        ref = _commit(repository.removeprefix("git+"), ref, lock, folder)
    return f"{repository}@{ref}{hash_sign}{fragment}"


def _commit(repository: str, ref: str, lock: str, folder: Path) -> str:
    out = command.run(
        git.command("ls-remote", "--", re.sub(r"^file:/(?!/)", "file:///", repository)),
        cwd=folder,
        env=git.outside(),
        hint="check that git can read it: git ls-remote URL",
    )
    known = {name: sha for sha, _, name in (line.partition("\t") for line in out.decode().splitlines())}
    for name in (ref, f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"):
        if name in known:
            return known[name]
    raise UsageError(
        f"{lock}: {repository} has no branch or tag {ref!r}",
        hint="write a commit in full, with its 40 digits",
    )
