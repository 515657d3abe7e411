"""Fetch the gzip members of an artifact that this host uses, and check each by the root of the artifact.

Format: docs/design.md, `fap/2`. The root is the sha256 of the first gzip member. That holds the manifest, and
so the sha256 of every other member. What was fetched lies in one file, in its order: the first member, those
of code, those of the wheels that this host lacks, and the last one, which is the end mark of the tar. Without
the wheels, that file is kept for the next release, as `<cache>/artifacts/<app>/<root>.code`.
"""

import os

import delta
import fetch
import reader


def bring(curl, cache, root, app, packages, output):
    """Write to `output` the members that are needed; returns the names of the wheels among them, or None if
    it is the whole artifact, and the size of that in bytes. `packages` tells which wheels this host lacks.

    The members of a whole artifact are not checked here: whoever reads it does that. Raises FetchError.
    """
    for paths in (cache.paths(app), []):
        try:
            return _assemble(curl, paths, root, packages, output)
        except delta.MismatchError as error:
            print(f"warning: {error}: fetching it again")
            cache.drop(paths)
            curl.clear()
        except reader.RefusedError as error:
            print(f"not an artifact: {error}")
            raise fetch.FetchError(fetch.REFUSED) from None
    try:
        fetch.fetch_whole(curl, output, root, in_one_piece=True)
        return _checked(output, root)
    except delta.MismatchError as error:
        print(error)
        raise fetch.FetchError(fetch.REFUSED) from None


def keep(cache, path, app, root):
    """Keep the members that hold no wheels, of a file that was checked, for the next release of the app."""
    first, text = delta.first_member(path)
    members = reader.Manifest(text, reader.identity(text), set()).members
    code = first + sum(length for _, length, _ in members[:-1])
    last = members[-1][1]
    if code + last < fetch.size(path):
        with open(path + fetch.CODE, "wb") as file:
            for start, length in ((0, code), (fetch.size(path) - last, last)):
                for block in delta.blocks(path, start, length):
                    file.write(block)
        path += fetch.CODE
    cache.add(path, app, root + fetch.CODE)
    cache.drop([path for path in cache.paths(app) if path.endswith(fetch.WHOLE)])


def _assemble(curl, paths, root, packages, output):
    """As `bring`. Raises MismatchError if cached or fetched bytes are not those of the artifact."""
    same = [path for path in paths if os.path.basename(path) == root + fetch.CODE]
    total, tag, head = 0, "", same[0] if same else output
    if not same:
        total, tag = delta.fetch_head(curl, output)
        if not total:
            return _whole(curl, root, output)
    first, text = _manifest(head, root)
    size = fetch.size(head) if not same else first
    identity = reader.identity(text)
    manifest = reader.Manifest(text, identity)
    wheels = packages.lacking(reader.decoded(text))
    end = first + sum(length for _, length, _ in manifest.members)
    if total not in (0, delta.UNKNOWN, end):
        raise delta.MismatchError(f"the file has {total} bytes, and its manifest says {end}")
    members = reader.Manifest(text, identity, wheels).members
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
        return _whole(curl, root, output)
    parts = delta.fetch_ranges(curl, wanted, tag)
    if parts is None:
        return _whole(curl, root, output)
    _write(output, [(0, size, head), *parts], [(0, first, root, None), *plan])
    return wheels, end


def _manifest(path, root):
    """(length of the first gzip member, the manifest). Raises MismatchError unless its sha256 is `root`."""
    first, text = delta.first_member(path) or (0, b"")
    digest = fetch.new_sha256(first)
    for block in delta.blocks(path, 0, first):
        digest.update(block)
    if not first or digest.hexdigest() != root:
        raise delta.MismatchError(f"the root of this file is {digest.hexdigest()}, not {root}")
    return first, text


def _whole(curl, root, output):
    """Fetch what is missing of the whole file; `output` may have its beginning."""
    fetch.fetch_whole(curl, output, root)
    return _checked(output, root)


def _checked(output, root):
    _manifest(output, root)
    return None, fetch.size(output)


def _write(output, parts, plan):
    """Write members, (start, length, sha256, source), to `output`. Raises MismatchError."""
    new = output + ".new"
    with open(new, "wb") as file:
        for start, length, expected, source in plan:
            digest = fetch.new_sha256(length)
            for path, offset, count in (
                [(*source, length)] if source else delta.from_parts(parts, start, length)
            ):
                for block in delta.blocks(path, offset, count):
                    file.write(block)
                    digest.update(block)
            if digest.hexdigest() != expected:
                where = "a cached artifact" if source else "the server"
                raise delta.MismatchError(f"{where} has other bytes than the artifact")
    os.rename(new, output)
