"""The files of a project in git, at one commit."""

import codecs
import io
import os
import posixpath
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from artifact_store.artifact import reader
from artifact_store.core import git
from artifact_store.core.errors import FapError, UsageError
from fapbuild import command
from fapbuild.project import git_filters

LINK = 0o120777
_DESCRIPTIONS = (
    ".gitattributes",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "pylock.toml",
)
_CHUNK = 1 << 20


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file or symbolic link; `path` is relative to the project's folder, `size` in bytes."""

    path: str
    mode: int
    """0o644, 0o755 or 0o120777"""
    size: int
    oid: str
    """The object id of its content in git."""


@dataclass(frozen=True)
class Snapshot:
    """A whole repository at one moment: a git tree, and the environment in which git finds it."""

    root: Path
    """A folder of the working tree, where git runs."""
    name: str
    """A commit or a tree."""
    env: Mapping[str, str]
    attributes: str = ""
    """The path of the repository's own attributes (gitattributes(5)), whether it exists or not."""
    git_dir: str = ""
    """The path of the folder .git that all working trees of the repository share."""


@dataclass(frozen=True)
class SourceTree:
    """The files of a commit, exported to `folder`.

    The folder has the same place as in the repository, so files outside the project can be exported beside
    it, and relative paths to them still work.
    """

    commit: str
    committed: int
    """The commit's time in seconds since 1970."""
    prefix: str
    """The path of the project's folder in its repository; empty for the top."""
    repository: str
    """`https://host/path` of the remote `origin`, without user, password or `.git`; empty if it has none."""
    dirty: str
    """The id of the git tree (hexadecimal) if it differs from the commit, else empty."""
    folder: Path
    files: tuple[SourceFile, ...]
    submodules: tuple[str, ...]
    """Paths of submodules (gitsubmodules(7)). Their files are not exported."""
    snapshot: Snapshot
    filtered: Mapping[str, str]
    """The git filters of files whose content is not here, by path: they are as committed."""

    @property
    def above(self) -> tuple[Path, ...]:
        """The folders above the project's in its exported repository, the nearest first."""
        return tuple(self.folder.parents)[: len(PurePosixPath(self.prefix).parts)]


def changes(root: Path, ignore: Path | None = None, paths: Sequence[str] = (".",)) -> tuple[str, ...]:
    """Return the changes since HEAD in the project's folder: with new files, without the folder `ignore`.

    `paths` are relative to the project's folder. Each change is a line of `git status --porcelain`.
    Raises FapError if `root` is not in a git repository, UsageError if the repository runs programs.
    """
    _refuse_programs(root)
    pathspecs = [*paths, *_without(root, ignore)[1:]]
    # Files in submodules are not part of an artifact, and a submodule has a configuration of its own.
    how = ("--porcelain=v1", "-z", "--untracked-files=normal", "--ignore-submodules=dirty")
    try:
        out = _git(root, "status", *how, "--", *pathspecs)
    except FapError:
        _prefix(root)  # has a better message if there is no repository
        raise
    return tuple(line.decode("utf-8", "replace") for line in out.split(b"\0") if line)


def is_pushed(root: Path, ref: str) -> bool:
    """Whether a remote has the commit, as far as this clone knows; True if the clone has no remote.

    A CI job often has no remote branch: it fetched a tag or a commit alone. What was fetched last is in
    FETCH_HEAD (git-fetch(1)), and the oldest commits of a shallow clone are in `shallow`
    (gitrepository-layout(5)).
    """
    if not _git(root, "remote"):
        return True
    commit = _commit(root, ref).name
    contains = f"--contains={commit}"
    if _git(root, "for-each-ref", "--count=1", "--format=%(refname)", contains, "refs/remotes"):
        return True
    fetched = {name for file in ("FETCH_HEAD", "shallow") for name in _names_in(root, file)}
    if not fetched:
        return False
    try:
        return not _git(root, "rev-list", "--max-count=1", commit, "--not", *sorted(fetched))
    except FapError:  # what was fetched once is not here any more
        return commit in fetched


def _names_in(root: Path, file: str) -> tuple[str, ...]:
    """The object names that begin the lines of a file in git's folder; none if there is no such file."""
    path = root / os.fsdecode(_git(root, "rev-parse", "--git-path", file).removesuffix(b"\n"))
    lines = path.read_text(errors="replace").splitlines() if path.exists() else ()
    return tuple(match[0] for line in lines if (match := re.match(r"[0-9a-f]{40,64}\b", line)))


def has_remote(root: Path) -> bool:
    """Whether the repository has any remote."""
    return bool(_git(root, "remote"))


def listing(root: Path) -> tuple[str, ...]:
    """The files of the project's folder that git tracks or does not ignore, sorted."""
    _prefix(root)
    out = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    return tuple(sorted(os.fsdecode(name) for name in out.split(b"\0") if name))


def folders_above(root: Path) -> tuple[Path, ...]:
    """The folders above the project's up to the top of its repository, the nearest first.

    None if it is in no repository.
    """
    try:
        depth = len(PurePosixPath(_prefix(root)).parts)
    except FapError:
        return ()
    return tuple(Path(os.path.abspath(root)).parents)[:depth]  # noqa: PTH100


def read(
    root: Path, ref: str, into: Path, *, with_changes: bool = False, ignore: Path | None = None
) -> SourceTree:
    """Export the files of the commit `ref` below `root` to their places in the new folder `into`.

    From the rest of the repository, only descriptions of packages are exported (pyproject.toml, locks).

    With `with_changes`, the files are those of the working tree: tracked and new ones, but none that git
    ignores or that lie in the folder `ignore`.
    Raises UsageError for an unknown ref, and with changes if the repository runs programs.
    """
    prefix, attributes, git_dir = _places(root)
    commit = _commit(root, ref)
    tree = commit.name
    env: dict[str, str] = {}
    if with_changes:
        _refuse_programs(root)
        env = _scratch_git(root, into.parent)
        _git(root, "read-tree", "HEAD", env=env)
        without = _without(root, ignore)
        pathspecs = without[:1] if ignore and _is_ignored(root, ignore) else without
        _git(root, "add", "--all", "--", *pathspecs, env=env)
        tree = _text(_git(root, "write-tree", env=env))
    snapshot = Snapshot(root, tree, env, attributes, git_dir)
    dirty = ""
    if with_changes:
        trees = (f"{tree}:{prefix}", f"{commit.name}:{prefix}")
        current, committed = _text(_git(root, "rev-parse", *trees, env=env)).split()
        dirty = current if current != committed else ""
    listing = _listing(snapshot, prefix)
    files = parse_listing(listing)
    into.mkdir()
    folder = into / prefix
    _export(snapshot, files, folder, into.parent)
    if prefix:
        _export_descriptions(snapshot, prefix, into)
    files, filtered = _with_content(snapshot, prefix, files, into)
    return SourceTree(
        commit=commit.name,
        committed=commit.time,
        prefix=prefix,
        repository=_repository(root),
        dirty=dirty,
        folder=folder,
        files=files,
        submodules=submodules(listing),
        snapshot=snapshot,
        filtered=filtered,
    )


def content(tree: SourceTree, path: str) -> str:
    """The object id of the file or folder at `path`, relative to the project's folder, in the same snapshot.

    Empty if nothing is committed there, or the path is outside the repository.
    """
    place = _place(tree, path)
    if place is None:
        return ""
    try:
        return _text(
            _snapshot_git(tree.snapshot, "rev-parse", "--verify", "--quiet", f"{tree.snapshot.name}:{place}")
        )
    except FapError:
        return ""


def export(tree: SourceTree, path: str, into: Path) -> Path:
    """Export the folder or file at `path`, relative to the project's folder, into the new folder `into`.

    Returns the folder, or the file in it. Raises UsageError if nothing is committed at `path`.
    """
    place = _place(tree, path)
    if not content(tree, path):
        raise _not_committed(path)
    if _text(_snapshot_git(tree.snapshot, "cat-file", "-t", f"{tree.snapshot.name}:{place}")) == "tree":
        listing = _listing(tree.snapshot, place or "")
        if found := submodules(listing):
            raise no_submodule(f"{path}/{found[0]}", f"publish what is in {path} as a package")
        files = parse_listing(listing)
        _export(tree.snapshot, files, into, into.parent)
        top = (tree.folder, *tree.above)[-1]
        _, filtered = _with_content(tree.snapshot, place or "", files, top, into)
        for name, kind in filtered.items():
            raise not_here(f"{path}/{name}", kind, f"publish what is in {path} as a package")
        return into
    into.mkdir(parents=True)
    file = into / posixpath.basename(path)
    file.write_bytes(_snapshot_git(tree.snapshot, "cat-file", "blob", f"{tree.snapshot.name}:{place}"))
    return file


def export_with_history(tree: SourceTree, path: str, into: Path) -> Path:
    """Export the folder at `path` to its place in a repository in the new folder `into`, and return its path.

    Its HEAD is the commit, its index the snapshot, its tags are those of the commit and its ancestors. So
    tools that ask git for a version or for the names of files get the same answers as in a clone.
    Raises UsageError if nothing is committed at `path`.
    """
    place = _place(tree, path) or ""
    folder = export(tree, path, into / place)
    git_dir, snapshot = into / ".git", tree.snapshot
    facts = (
        "--show-object-format",
        "--path-format=absolute",
        "--git-path",
        "objects",
        "--git-path",
        "shallow",
    )
    kind, objects, shallow = _text(_git(snapshot.root, "rev-parse", *facts)).splitlines()
    _git(into, "init", "--quiet", "--template=", f"--object-format={kind}")
    alternates = [objects, snapshot.env["GIT_OBJECT_DIRECTORY"]] if snapshot.env else [objects]
    (git_dir / "objects" / "info").mkdir(exist_ok=True)
    (git_dir / "objects" / "info" / "alternates").write_text("".join(f"{line}\n" for line in alternates))
    if Path(shallow).is_file():
        shutil.copyfile(shallow, git_dir / "shallow")
    if tags := _tags(tree):
        (git_dir / "packed-refs").write_text(f"{tags}\n")
    (git_dir / "HEAD").write_text(f"{tree.commit}\n")
    _git(into, "read-tree", snapshot.name)
    names = _git(into, "ls-files", "-z").split(b"\0")
    inside = os.fsencode(f"{place}/" if place else "")
    elsewhere = [name for name in names if name and not name.startswith(inside)]
    _git(into, "update-index", "-z", "--skip-worktree", "--stdin", stdin=b"\0".join(elsewhere))
    return folder


def history(tree: SourceTree) -> str:
    """Everything that a tool can learn from `export_with_history` besides the files: as one line."""
    return " ".join([tree.commit, tree.dirty, *_tags(tree).split()])


def _tags(tree: SourceTree) -> str:
    """A line for each tag of the commit and its ancestors, as in the file packed-refs."""
    how = (f"--merged={tree.commit}", "--format=%(objectname) %(refname)", "refs/tags")
    return _text(_git(tree.snapshot.root, "for-each-ref", *how))


def not_here(path: str, kind: str, otherwise: str) -> UsageError:
    """The error for a file whose content a git filter makes; `otherwise` is for a file that is not needed."""
    if kind == git_filters.LFS:
        return UsageError(
            f"{path} is in git LFS, and its content is not in this clone",
            hint=f"git lfs pull --include={path}; or {otherwise}",
        )
    return UsageError(
        f"{path} has the git filter {kind!r}: a checkout has other content than the commit, which is packed",
        hint=f"commit it without the filter (.gitattributes); or {otherwise}; or pack it as it is committed: "
        f'allow = [{{path = "/{path}", reason = "why"}}]',
    )


def bring(tree: SourceTree, path: str) -> None:
    """Export a folder beside the project to its place, so that relative paths to it work.

    Raises UsageError if nothing is committed there.
    """
    target = Path(os.path.normpath(tree.folder / path))
    if not content(tree, path):
        raise _not_committed(path)
    if not target.is_relative_to(tree.folder) and not tree.folder.is_relative_to(target):
        if target.is_dir():
            shutil.rmtree(target)
        export(tree, path, target)


def _not_committed(path: str) -> UsageError:
    return UsageError(
        f"{path} is required, but it is not committed in this repository",
        hint=f"git add {path}; or publish it as a package",
    )


def parse_listing(listing: bytes) -> tuple[SourceFile, ...]:
    """Parse the output of `git ls-tree -r -z -l` into files sorted by path; FapError for a refused name."""
    files = []
    for (mode, kind, oid, size), path in _lines(listing):
        if kind != "blob":
            continue
        is_link = mode == "120000"
        files.append(
            SourceFile(
                path=path,
                mode=LINK if is_link else (0o755 if mode == "100755" else 0o644),
                size=0 if is_link else int(size),
                oid=oid,
            )
        )
    return tuple(sorted(files))


def submodules(listing: bytes) -> tuple[str, ...]:
    """The paths of submodules in `git ls-tree -r -z -l`."""
    return tuple(sorted(path for (_, kind, _, _), path in _lines(listing) if kind == "commit"))


def no_submodule(path: str, otherwise: str) -> UsageError:
    """The error for a submodule at `path`; `otherwise` is the advice if its files are not needed."""
    return UsageError(
        f"{path} is a git submodule, but an artifact holds the files of one repository",
        hint=f"make it a dependency (NAME @ git+https://…), or copy its files in; or {otherwise}",
    )


def _lines(listing: bytes) -> Iterator[tuple[list[str], str]]:
    for line in listing.split(b"\0"):
        if line:
            facts, _, raw = line.partition(b"\t")
            yield facts.decode("ascii").split(), _checked_path(raw)


def check_link(folder: Path, path: str) -> str:
    """Return the target of the symbolic link `path` in `folder`; raise FapError if that is outside, or no
    host accepts it."""
    target = os.readlink(folder / path)  # noqa: PTH115 (Path would rewrite ./x)
    real = os.path.realpath(folder / path)
    if target.startswith("/") or not Path(real).is_relative_to(os.path.realpath(folder)):
        raise FapError(
            f"the symbolic link {path} -> {target} points outside the project",
            hint="link to a path inside the project, or use linked_files and linked_dirs of deploy.yml",
        )
    try:
        reader.check_link(path, target)
    except reader.RefusedError as error:
        raise FapError(str(error), hint="let '..' come first in the link, or replace the link") from error
    return target


def mode_of(path: Path, name: str) -> int:
    """The mode of the file in an artifact: 0o644, 0o755 if its owner may execute it, 0o120777 for a link.

    Raises FapError, with the given `name`, for a socket, a pipe or a device.
    """
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return LINK
    if not stat.S_ISREG(mode):
        raise FapError(
            f"{name} is neither a file nor a symbolic link",
            hint="an artifact can't hold sockets, pipes or devices: remove it at the end of the step",
        )
    return 0o755 if mode & 0o100 else 0o644


_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
"""Byte order marks, and the encodings that they name: pip reads such requirements."""


def read_text(folder: Path, name: str, *, marked: bool = False) -> str:
    """Read a text file of the project; raise UsageError if it is missing or not UTF-8.

    With `marked`, a byte order mark may name another encoding.
    """
    try:
        data = (folder / name).read_bytes()
        marks = (encoding for mark, encoding in _MARKS if marked and data.startswith(mark))
        return io.TextIOWrapper(io.BytesIO(data), next(marks, "utf-8")).read()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise UsageError(f"{name} is missing", hint=f"commit it: git add {name}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from error
    except ValueError as error:  # a NUL in a name that another file gives
        raise UsageError(f"{name!r} can't be the name of a file") from error


_NO_GIT = "fapbuild packs committed files: git init && git add --all && git commit"


# Without these, git maps whole packs and holds files of up to 512 MiB in memory (git-config: packedGit*,
# bigFileThreshold).
_STREAMING = (
    "-c",
    "core.packedGitWindowSize=8m",
    "-c",
    "core.packedGitLimit=32m",
    "-c",
    "core.bigFileThreshold=4m",
)


_PLACES = frozenset(
    f"GIT_{name}"
    for name in (
        *(
            "DIR",
            "WORK_TREE",
            "INDEX_FILE",
            "PREFIX",
            "COMMON_DIR",
            "NAMESPACE",
            "GRAFT_FILE",
            "SHALLOW_FILE",
        ),
        *("OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES", "IMPLICIT_WORK_TREE"),
    )
)
"""Of the variables of `git rev-parse --local-env-vars`, those that name a repository or a part of one."""


def _git(root: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> bytes:
    return _run(root, arguments, env or {}, stdin)


def _run(
    root: Path, arguments: Sequence[str], env: Mapping[str, str], stdin: bytes, stdout: Path | None = None
) -> bytes:
    argv = git.command(*_STREAMING, *arguments)
    # Hooks set variables that name their repository, and git would look there instead of in `root`.
    own = {name: value for name, value in os.environ.items() if name not in _PLACES}
    env = {**own, **git.environment(), **env}
    try:
        return command.run(argv, cwd=root, env=env, clean=True, stdin=stdin, stdout=stdout)
    except FapError as error:
        if "promisor remote" in error.message:
            raise UsageError(
                "this is a partial clone: objects are missing, and fapbuild fetches none",
                hint="git fetch --refetch --no-filter, or clone it in full; or FAP_TRUST=1, if you trust it",
            ) from error
        raise


def _refuse_programs(root: Path) -> None:
    """Raise UsageError if the repository's own configuration has git run a program on files."""
    if found := git.programs(_git(root, *git.LIST_CONFIG)):
        raise UsageError(
            f"git would run programs that the configuration of this repository names: {', '.join(found)}",
            hint="if you trust them: git config --global …, so that they are your own; or FAP_TRUST=1",
        )


def _prefix(root: Path) -> str:
    """The path of `root` in its repository, without a slash at the end."""
    return _places(root)[0]


def _places(root: Path) -> tuple[str, str, str]:
    """The path of `root` in its repository, that of the repository's own attributes, and its folder .git."""
    facts = ("--show-prefix", "--path-format=absolute", "--git-path", "info/attributes", "--git-common-dir")
    try:
        prefix, attributes, git_dir = _git(root, "rev-parse", *facts).decode("utf-8").split("\n")[:3]
        return prefix.rstrip("/"), attributes, git_dir
    except FapError as error:
        if any((folder / ".git").exists() for folder in (root, *root.parents)):
            raise
        raise FapError(f"{root} is not in a git repository", hint=_NO_GIT) from error


def _without(root: Path, ignore: Path | None) -> list[str]:
    root = Path(os.path.abspath(root))  # noqa: PTH100 (links stay as they are)
    folder = Path(os.path.abspath(root / ignore)) if ignore else root  # noqa: PTH100
    if folder == root or not folder.is_relative_to(root):
        return ["."]
    return [".", f":(exclude,literal){folder.relative_to(root).as_posix()}"]


def _is_ignored(root: Path, ignore: Path) -> bool:
    """Whether git ignores the whole folder; git 2.39 refuses to add anything if it is also excluded."""
    how = ("--others", "--ignored", "--exclude-standard", "--directory", "--no-empty-directory")
    folder = os.path.abspath(root / ignore)  # noqa: PTH100 (links stay as they are)
    return Path(folder).is_relative_to(os.path.abspath(root)) and bool(  # noqa: PTH100
        _git(root, "ls-files", *how, "--", folder)
    )


def _text(out: bytes) -> str:
    return out.decode("utf-8").strip()


@dataclass(frozen=True)
class _ResolvedCommit:
    name: str
    time: int


# The output of `git cat-file --batch` for a commit: its name, and its time among the headers.
_COMMIT = re.compile(rb"([0-9a-f]+) commit \d+\n(?:[^\n]+\n)*?committer [^\n]* (\d+) [+-]\d+\n")


def _commit(root: Path, ref: str) -> _ResolvedCommit:
    match = _COMMIT.match(_git(root, "cat-file", "--batch", stdin=f"{ref}^{{commit}}\n".encode()))
    if not match:
        raise UsageError(
            f"{ref!r} is not a commit in this repository",
            hint=_NO_GIT
            if ref == "HEAD"
            else "git log --oneline lists commits; git fetch --tags fetches tags",
        )
    return _ResolvedCommit(match[1].decode("ascii"), int(match[2]))


def _checked_path(raw: bytes) -> str:
    try:
        path = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FapError(f"the file name {raw!r} is not UTF-8", hint="rename it: git mv") from error
    if any(part in ("", ".", "..") for part in path.split("/")) or any(ord(char) < 32 for char in path):
        raise FapError(f"the file name {path!r} is not allowed", hint="rename it: git mv")
    return path


def _scratch_git(root: Path, folder: Path) -> dict[str, str]:
    """An environment in which git writes index and objects to `folder`, so the repository is not changed."""
    objects = folder / "objects"
    objects.mkdir()
    own = _text(_git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects"))
    return {
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(objects),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": own,
    }


def _place(tree: SourceTree, path: str) -> str | None:
    """The path in the repository of a path of the project; None if it is outside."""
    place = posixpath.normpath(posixpath.join(tree.prefix, path))
    if place.startswith(("../", "/")) or place == "..":
        return None
    return "" if place == "." else place


def _snapshot_git(snapshot: Snapshot, *arguments: str) -> bytes:
    return _git(snapshot.root, *arguments, env=snapshot.env)


def _listing(snapshot: Snapshot, place: str) -> bytes:
    return _snapshot_git(snapshot, "ls-tree", "-r", "-z", "-l", "--full-tree", f"{snapshot.name}:{place}")


def _export_descriptions(snapshot: Snapshot, prefix: str, into: Path) -> None:
    """Export the files that a lock of a monorepo refers to: uv reads every member's pyproject.toml."""
    out = _snapshot_git(snapshot, "ls-tree", "-r", "-z", "-l", "--full-tree", snapshot.name)
    lines = [
        line
        for line in out.split(b"\0")
        if line.rpartition(b"\t")[2].rpartition(b"/")[2].decode("utf-8", "replace") in _DESCRIPTIONS
    ]
    files = parse_listing(b"\0".join(lines))
    outside = tuple(file for file in files if file.mode != LINK and not file.path.startswith(f"{prefix}/"))
    _export(snapshot, outside, into, into.parent)


def _export(snapshot: Snapshot, files: tuple[SourceFile, ...], into: Path, work: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    blobs = work / "blobs"
    oids = "".join(f"{file.oid}\n" for file in files).encode("ascii")
    _run(snapshot.root, ("cat-file", "--batch"), snapshot.env, oids, stdout=blobs)
    links = []
    with blobs.open("rb") as stream:
        for file in files:
            size = int(stream.readline().split()[2])
            path = into / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if file.mode == LINK:
                links.append((file.path, stream.read(size)))
            else:
                with path.open("xb") as out:
                    while size > 0:
                        data = stream.read(min(size, _CHUNK))
                        out.write(data)
                        size -= len(data)
                path.chmod(file.mode)
            stream.read(1)
    blobs.unlink()
    # Links come last, so that no file is written through one.
    for name, target in links:
        os.symlink(target, os.fsencode(into / name))  # noqa: PTH211 (any bytes)


def _with_content(
    snapshot: Snapshot, place: str, files: tuple[SourceFile, ...], into: Path, folder: Path | None = None
) -> tuple[tuple[SourceFile, ...], dict[str, str]]:
    """Replace pointers of git LFS in the exported files by their content.

    `place` is the path of the files in the repository, which are in `folder`, or at their place in `into`.
    Returns the files with their sizes, and the filters of those whose content is not here, by path.
    """
    folder = folder or into / place
    above = [into / parent / ".gitattributes" for parent in PurePosixPath(place).parents] if place else []
    inside = [folder / file.path for file in files if posixpath.basename(file.path) == ".gitattributes"]
    texts = (path.read_bytes() for path in (Path(snapshot.attributes), *above, *inside) if path.is_file())
    if not any(git_filters.MENTIONED.search(text) for text in texts):
        return files, {}
    filters = _filters(snapshot, place, files, into.parent / "attributes")
    harmless = (
        git_filters.only_clean(_git(snapshot.root, "config", "--list", "-z")) if filters else frozenset()
    )
    stores = [Path(snapshot.git_dir) / "lfs" / "objects"]
    filtered: dict[str, str] = {}
    sized = []
    for file in files:
        path, kind, size = folder / file.path, filters.get(file.path, ""), file.size
        if file.mode != LINK and kind == git_filters.LFS:
            pointer = git_filters.read_pointer(path)
            if pointer and git_filters.put_content(pointer, stores, path):
                size = pointer.size
            elif pointer:
                filtered[file.path] = kind
        elif kind and kind != git_filters.LFS and kind not in harmless:
            filtered[file.path] = kind
        sized.append(replace(file, size=size))
    return tuple(sized), filtered


def _filters(snapshot: Snapshot, place: str, files: Sequence[SourceFile], index: Path) -> dict[str, str]:
    """The git filters of files, by path, as the attributes in the snapshot say."""
    env = {**snapshot.env, "GIT_INDEX_FILE": str(index)}
    _git(snapshot.root, "read-tree", snapshot.name, env=env)
    top = _prefix(snapshot.root)
    names = {posixpath.relpath(posixpath.join("/", place, file.path), f"/{top}"): file.path for file in files}
    stdin = "".join(f"{name}\0" for name in names).encode()
    out = _git(snapshot.root, "check-attr", "-z", "--cached", "--stdin", "filter", env=env, stdin=stdin)
    return {names[name]: kind for name, kind in git_filters.parse_attributes(out).items()}


def _repository(root: Path) -> str:
    try:
        url = _text(_git(root, "config", "--get", "remote.origin.url"))
    except FapError:
        return ""
    return repository_url(url)


def repository_url(remote: str) -> str:
    """Return one spelling for all URLs of a repository, so that they give the same artifact.

    `git@host:path.git`, `ssh://git@host/path` and `https://user:secret@host/path.git` become
    `https://host/path`; a folder on this machine becomes an empty string.
    """
    match = re.fullmatch(r"(?:https?|ssh|git)://(?:[^/@]*@)?([^/:]+)(?::\d+)?/(.+)", remote) or re.fullmatch(
        r"(?:[^/@:]+@)([^/:]+):(?!/)(.+)", remote
    )
    if not match:
        return ""
    return f"https://{match[1].lower()}/{PurePosixPath(match[2].removesuffix('/').removesuffix('.git'))}"
