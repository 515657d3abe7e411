"""Assemble an artifact from cached ones, and fetch only the gzip members that they lack.

Format: docs/design.md. The first gzip member (RFC 1952) holds the manifest alone, which lists all others.
"""

import os
import zlib

import fetch
import reader

HEAD = 32 << 10
"""How many bytes the first request asks for: the manifests of most artifacts are shorter."""
LONGEST_HEAD = 16 << 20
NEAR = 16 << 10
"""Gaps of fewer bytes are fetched too: that is cheaper than another request."""
PIECE = 8 << 20
LANES = 4
"""How many curls run in parallel when there is much to fetch."""
WORTHWHILE = 0.8
"""If a larger share is missing, the whole artifact is downloaded."""


class MismatchError(Exception):
    """The assembled file is not the artifact."""


def assemble(curl, paths, sha256, output):
    """Write the artifact to `output` with the help of cached ones, `paths`; returns its digest.

    The digest is empty where the whole has to be downloaded: then `output` has the beginning of it. Without a
    `sha256` every member is checked. Raises FetchError if the server refuses or can't be reached, and
    MismatchError.
    """
    total, tag = fetch_head(curl, output)
    first, members = _index(output) if total else (0, [])
    head = fetch.size(output)
    if total and head == total:
        return _checked(fetch.digest_of(output), sha256)
    if not members or first + sum(length for _, length, _ in members) != total:
        return ""
    plan = _plan(first, members, head, sources_in(paths))
    wanted = merged([after_head(head, start, length) for start, length, _, source in plan if source is None])
    if sum(length for _, length in wanted) > WORTHWHILE * total:
        return ""
    parts = fetch_ranges(curl, wanted, tag)
    if parts is None:
        fetch.forget(output)
        return ""
    return _write(output, [(0, head, output), *parts], plan, sha256, total)


def _checked(digest, sha256):
    if sha256 not in ("", digest):
        raise MismatchError("its sha256 is " + digest)
    return digest


def fetch_head(curl, output):
    """Fetch the first bytes, with the whole first gzip member; (size of the artifact, its ETag).

    The size is 0 if the server sends no ranges. A server that does not know ranges sends everything.
    """
    total, tag = _fetch_first(curl, output)
    while total and first_member(output) is None and fetch.size(output) < min(total, LONGEST_HEAD):
        if not _extend_head(curl, output, total, tag):
            return 0, ""
    return total, tag


def _fetch_first(curl, output):
    for failures in range(fetch.TRIES):
        (code,) = curl.run(curl.block(output, f'range = "0-{HEAD - 1}"'))
        status, headers = fetch.answer(output)
        if code == 0 or status in (400, 405, 416, 501):
            break
        if not curl.may_try_again(code, output) or failures == fetch.TRIES - 1:
            raise fetch.FetchError(code)
        fetch.time.sleep(2**failures)
    curl.moved += fetch.size(output)
    if curl.file and code == 0:  # of which curl tells no size
        return fetch.size(curl.file), ""
    total = headers.get("content-range", "").rpartition("/")[2]
    if status == 206 and total.isdigit():
        return int(total), fetch.tag_of(headers)
    if status == 200:
        return fetch.size(output), ""
    fetch.forget(output)
    return 0, ""


def _extend_head(curl, output, total, tag):
    """Fetch as many bytes again; False if the server does not send them."""
    start = fetch.size(output)
    parts = fetch_ranges(curl, [(start, min(start, total - start))], tag)
    if parts is None:
        fetch.forget(output)
        return False
    with open(output, "ab") as file:
        for _, length, path in parts:
            for block in blocks(path, 0, length):
                file.write(block)
    return True


def first_member(path):
    """(length of the first gzip member, the manifest in it) of an artifact's file, or of its beginning.

    None if the member is not complete; the manifest is empty if the file is not an artifact of fapbuild.
    """
    inflater, text, read = zlib.decompressobj(31), b"", 0
    with open(path, "rb") as file:
        while not inflater.eof:
            data = file.read(1 << 16)
            if not data:
                return None
            read += len(data)
            try:
                text += inflater.decompress(data, 64 << 20)
            except zlib.error:
                return 0, b""
            if len(text) > 64 << 20 or inflater.unconsumed_tail:
                return 0, b""
    if len(text) < reader.BLOCK or reader.name_of(text[: reader.BLOCK]) != reader.MANIFEST:
        return 0, b""
    try:
        size = reader.number(text[124:136])
    except reader.RefusedError:
        return 0, b""
    return read - len(inflater.unused_data), text[reader.BLOCK : reader.BLOCK + size]


def _index(path):
    """(length of the first gzip member, the others as (start, length, sha256)) of an artifact's file, or of
    one that holds only code (members.py). There are none if the file is not an artifact."""
    try:
        first, text = first_member(path) or (0, b"")
        wheels = set() if path.endswith(fetch.CODE) else None
        members = reader.Manifest(text, reader.identity(text), wheels).members
    except reader.RefusedError:
        return 0, []
    return first, members


def sources_in(paths):
    """sha256 → (file, offset) of every member of the cached artifacts."""
    sources = {}
    for path in paths:
        try:
            first, members = _index(path)
        except OSError:
            continue
        place = first
        for _, length, sha256 in members:
            sources.setdefault(sha256, (path, place))
            place += length
    return sources


def _plan(first, members, head, sources):
    """The members after the head, as (start, length, sha256, source); a missing one has no source."""
    plan = []
    for offset, length, sha256 in members:
        start = first + offset
        if start + length > head:
            plan.append((start, length, sha256, sources.get(sha256)))
    return plan


def after_head(head, start, length):
    """The part of a range after the head."""
    return max(start, head), start + length - max(start, head)


def merged(ranges):
    """Join ranges that are near each other, and cut long ones into pieces."""
    merged = []
    for start, length in ranges:
        if merged and start - sum(merged[-1]) <= NEAR:
            merged[-1] = (merged[-1][0], start + length - merged[-1][0])
        else:
            merged.append((start, length))
    return [
        (start + cut, min(PIECE, length - cut)) for start, length in merged for cut in range(0, length, PIECE)
    ]


def fetch_ranges(curl, ranges, tag):
    """Fetch ranges; returns (start, length, file) for each part of them, or None: the whole is needed.

    The rest of an interrupted range is requested again.
    """
    parts, failures = [], 0
    while ranges:
        jobs = [(start, length, os.path.join(curl.work, f"part{start}")) for start, length in ranges]
        lanes = min(LANES, len(jobs)) if sum(length for _, length in ranges) > LANES << 20 else 1
        texts = ["next\n".join(_job(curl, *job, tag) for job in jobs[lane::lanes]) for lane in range(lanes)]
        codes = curl.run(*texts)
        ranges, before = [], curl.moved
        for start, length, path in jobs:
            received = fetch.size(path)
            curl.moved += received
            status, _ = fetch.answer(path)
            is_part = status == 206 or curl.file
            if received > length or (received and not is_part) or (status in (200, 412, 416)):
                print("warning: the server no longer sends parts of this file: fetching all of it")
                return None
            if received:
                parts.append((start, received, path))
            if received < length:
                ranges.append((start + received, length - received))
        code = next((code for code in codes if code), 0)
        if ranges:
            failures = 0 if curl.moved > before else failures + 1
            stuck = [path for start, length, path in jobs if fetch.size(path) < length]
            if code == 23:
                raise OSError(fetch.NO_SPACE, "No space left on device")
            if failures >= fetch.TRIES or not curl.may_try_again(code or 18, stuck[0]):
                raise fetch.FetchError(code or 18)
            fetch.time.sleep(2**failures - 1)
    return sorted(parts)


def _job(curl, start, length, path, tag):
    lines = ("fail-early", f'range = "{start}-{start + length - 1}"', f'max-filesize = "{length}"')
    return curl.block(path, *lines, *fetch.same(tag))


def blocks(path, offset, length):
    with open(path, "rb") as file:
        file.seek(offset)
        while length:
            block = file.read(min(fetch.BLOCK, length))
            if not block:
                return
            length -= len(block)
            yield block


def _write(output, parts, plan, sha256, total):
    """Write the assembled file; returns its digest. Raises MismatchError."""
    digest, new = fetch.new_sha256(total), output + ".new"
    with open(new, "wb") as file:
        for start, length, expected, source in [(0, plan[0][0], "", None), *plan]:
            member = fetch.new_sha256(total)
            pieces = [(*source, length)] if source else from_parts(parts, start, length)
            for path, offset, count in pieces:
                for block in blocks(path, offset, count):
                    file.write(block)
                    digest.update(block)
                    if not sha256:
                        member.update(block)
            if expected and not sha256 and member.hexdigest() != expected:
                raise MismatchError("a member should have the sha256 " + expected)
    os.rename(new, output)
    return _checked(digest.hexdigest(), sha256)


def from_parts(parts, start, length):
    """The pieces (file, offset, count) that hold these bytes."""
    for begin, count, path in parts:
        low, high = max(start, begin), min(start + length, begin + count)
        if low < high:
            yield path, low - begin, high - low
