"""Fetch the gzip members of an artifact that this host uses, and check each by the root of the artifact.

Format: docs/design.md, `fap/2`. The root is the sha256 of the first gzip member. That holds the manifest, and
so the sha256 of every other member. What was fetched lies in one file, in its order: the first member, those
of code, those of the wheels that this host lacks, and the last one, which is the end mark of the tar. Without
the wheels, that file is kept for the next release, as `<cache>/artifacts/<app>/<root>-<sha256>.code`.
"""

import os

import delta
import fetch
import fit
import reader
from refusal import RefusedError


class DamagedError(Exception):
    """A cached file is not what it should be, or is gone."""

    def __init__(self, path):
        super().__init__(path)
        self.path = path


def bring(curl, cache, names, app, packages, output):
    """Write to `output` the members that are needed; returns the names of the wheels among them, or None if
    it is the whole artifact, and the size of that in bytes.

    `names` are root and sha256 of the artifact; `packages` tells which wheels this host lacks. The members of
    a whole artifact are not checked here: whoever reads it does that. Raises FetchError.
    """
    paths = cache.paths(app)
    try:
        while True:
            try:
                return _assemble(curl, paths, names, packages, output)
            except DamagedError as error:
                print(f"warning: a cached artifact is damaged, and what it had is fetched again: {error}")
                cache.drop([error.path])
                paths.remove(error.path)
            except delta.MismatchError as error:
                print(f"warning: {error}: fetching it in one piece")
                curl.clear()
                fetch.fetch_whole(curl, output, names[0], in_one_piece=True)
                return _whole(output, names[0])
            curl.clear()
    except RefusedError as error:
        print(error)
        raise fetch.FetchError(1) from None
    except (delta.MismatchError, reader.RefusedError) as error:
        print(error if isinstance(error, delta.MismatchError) else f"not an artifact: {error}")
        raise fetch.FetchError(fetch.REFUSED) from None


def keep(cache, path, app, names, packages):
    """Keep what the next release of the app needs, of a file that was checked: the members that hold no
    wheels, or all where wheels are needed each time. If that fails, the next release fetches it again."""
    if not cache.folder:
        return
    root, sha256 = names
    try:
        first, text = delta.first_member(path)
        manifest = reader.decoded(text)
        if packages.are_shared(manifest) or not manifest["wheels"]:
            cache.add(_without_wheels(path, first, text), app, f"{root}-{sha256}{fetch.CODE}")
            cache.drop([old for old in cache.paths(app) if old.endswith(fetch.WHOLE)])
        else:
            cache.add(path, app, sha256 + fetch.WHOLE)
    except OSError as error:
        print(f"this artifact is not cached for the next release: {error}")


def _without_wheels(path, first, text):
    members = reader.Manifest(text, reader.identity(text), set()).members
    code = first + sum(length for _, length, _ in members[:-1])
    last = members[-1][1]
    if code + last == fetch.size(path):
        return path
    with open(path + fetch.CODE, "wb") as file:
        for start, length in ((0, code), (fetch.size(path) - last, last)):
            for block in delta.blocks(path, start, length):
                file.write(block)
    return path + fetch.CODE


def _assemble(curl, paths, names, packages, output):
    """As `bring`. Raises DamagedError for a cached file, and MismatchError if what the server sent is not the
    artifact."""
    root, same = names[0], ("-".join(names) + fetch.CODE, names[1] + fetch.WHOLE)
    total, tag, head = 0, "", next((path for path in paths if os.path.basename(path) in same), "")
    if head:
        first, text = _cached(head, root)
        size = first
    else:
        head = output
        total, tag = delta.fetch_head(curl, output)
        if not total:
            return _fetch_whole(curl, output, root, tag)
        first, text = _manifest(output, root)
        size = fetch.size(output)
    identity = reader.identity(text)
    manifest = reader.decoded(text)
    wheels = packages.lacking(manifest)
    if not packages.has_own_command:  # which may bring what it needs
        fit.check(manifest)
    members = reader.Manifest(text, identity, wheels).members
    end = first + members[-1][0] + members[-1][1]
    if total not in (0, end):
        raise delta.MismatchError(f"the file has {total} bytes, and its manifest says {end}")
    sources = delta.sources_in(paths)
    plan = [(first + start, length, sha256, sources.get(sha256)) for start, length, sha256 in members]
    wanted = delta.merged(
        [
            delta.after_head(size, start, length)
            for start, length, _, source in plan
            if source is None and start + length > size
        ]
    )
    if sum(length for _, length in wanted) > delta.WORTHWHILE * end:
        return _fetch_whole(curl, output, root, tag)
    parts = delta.fetch_ranges(curl, wanted, tag)
    if parts is None:
        return _fetch_whole(curl, output, root, tag)
    _write(output, [(0, size, head), *parts], [(0, first, root, None), *plan])
    return wheels, end


def _cached(path, root):
    try:
        return _manifest(path, root)
    except (OSError, delta.MismatchError, reader.RefusedError):
        raise DamagedError(path) from None


def _manifest(path, root):
    """(length of the first gzip member, the manifest). Raises MismatchError unless its sha256 is `root`, and
    RefusedError unless it is one of `fap/2`."""
    first, text = delta.first_member(path) or (0, b"")
    if not first:
        raise delta.MismatchError("what the server sent does not begin with the manifest of an artifact")
    digest = fetch.new_sha256(first)
    for block in delta.blocks(path, 0, first):
        digest.update(block)
    if digest.hexdigest() != root:
        raise delta.MismatchError(f"the root of this file is {digest.hexdigest()}, not {root}")
    reader.Manifest(text, reader.identity(text), set())
    return first, text


def _fetch_whole(curl, output, root, tag):
    """Fetch what is missing of the whole file; `output` may have its beginning. Without an ETag, its parts
    could be of two files: then its members are compared, and it is fetched again if they are not right."""
    in_one_piece = fetch.fetch_whole(curl, output, root)
    if not in_one_piece and not tag and not _is_right(output, root):
        raise delta.MismatchError("the parts of the download do not fit together")
    return _whole(output, root)


def _whole(output, root):
    _manifest(output, root)
    return None, fetch.size(output)


def _is_right(path, root):
    first, text = _manifest(path, root)
    for start, length, expected in reader.Manifest(text, reader.identity(text)).members:
        digest = fetch.new_sha256(length)
        for block in delta.blocks(path, first + start, length):
            digest.update(block)
        if digest.hexdigest() != expected:
            return False
    return True


def _write(output, parts, plan):
    """Write members, (start, length, sha256, source), to `output`. Raises as `_assemble`."""
    new = output + ".new"
    with open(new, "wb") as file:
        for start, length, expected, source in plan:
            digest = fetch.new_sha256(length)
            for path, offset, count in (
                [(*source, length)] if source else delta.from_parts(parts, start, length)
            ):
                for block in _blocks(path, offset, count, source):
                    file.write(block)
                    digest.update(block)
            if digest.hexdigest() != expected and source:
                raise DamagedError(source[0])
            if digest.hexdigest() != expected:
                raise delta.MismatchError("the server sent other bytes than those of the artifact")
    os.rename(new, output)


def _blocks(path, offset, count, source):
    """As `delta.blocks`; a cached file that can't be read is a damaged one: another run may drop it."""
    try:
        yield from delta.blocks(path, offset, count)
    except OSError:
        if not source:
            raise
        raise DamagedError(path) from None
