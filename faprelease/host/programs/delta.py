"""Put an artifact together from what earlier ones have, and fetch only the gzip members that they lack.

Format: docs/design.md, `fap/1`. The first gzip member (RFC 1952) holds the manifest alone; its `members` list
offset, length and sha256 of all others, counted from the end of the first.
"""

import os
import zlib

import fetch

HEAD = 32 << 10
"""Bytes that are asked for at first: of most artifacts the manifest is shorter."""
LONGEST_HEAD = 16 << 20
NEAR = 16 << 10
"""Gaps of fewer bytes are fetched along: that is cheaper than one request more."""
PIECE = 8 << 20
LANES = 4
"""So many curls run side by side when there is much to fetch."""
WORTHWHILE = 0.8
"""Above this share that is lacking, the whole is downloaded."""


class WrongError(Exception):
    """What was put together is not the artifact."""


def put_together(curl, paths, sha256, output):
    """Write the artifact to `output` with the help of the kept ones in `paths`; its digest.

    Empty where the whole has to be downloaded: what `output` has then is the beginning of it. Without a
    `sha256` every member is looked at. Raises FetchError if the server refuses or is away, and WrongError.
    """
    try:
        import json  # noqa: F401 (python3-minimal has none)
    except ImportError:
        return ""
    total, tag = _begin(curl, output)
    first, members = _index(output) if total else (0, [])
    while members is None and fetch.size(output) < min(total, LONGEST_HEAD):
        if not _more_of_the_head(curl, output, total, tag):
            return ""
        first, members = _index(output)
    head = fetch.size(output)
    if total and head == total:
        return _checked(fetch.digest_of(output), sha256)
    if not members or first + sum(length for _, length, _ in members) != total:
        return ""
    plan = _plan(first, members, head, _there(paths))
    wanted = _merged([_behind(head, start, length) for start, length, _, source in plan if source is None])
    if sum(length for _, length in wanted) > WORTHWHILE * total:
        return ""
    parts = _fetch(curl, wanted, tag)
    if parts is None:
        fetch.forget(output)
        return ""
    return _write(output, [(0, head, output), *parts], plan, sha256, total)


def _checked(digest, sha256):
    if sha256 not in ("", digest):
        raise WrongError("its sha256 is " + digest)
    return digest


def _begin(curl, output):
    """Ask for the first bytes: (size of the artifact, its ETag), size 0 where there is no use in asking more.

    A server that knows no ranges sends it all.
    """
    for failed in range(fetch.TRIES):
        (code,) = curl.run(curl.block(output, f'range = "0-{HEAD - 1}"'))
        status, headers = fetch.answer(output)
        if code == 0 or status in (400, 405, 416, 501):
            break
        if not curl.may_try_again(code, output) or failed == fetch.TRIES - 1:
            raise fetch.FetchError(code)
        fetch.time.sleep(2**failed)
    curl.moved += fetch.size(output)
    total = headers.get("content-range", "").rpartition("/")[2]
    if status == 206 and total.isdigit():
        return int(total), fetch.tag_of(headers)
    if status == 200:
        return fetch.size(output), ""
    fetch.forget(output)
    return 0, ""


def _more_of_the_head(curl, output, total, tag):
    """Twice as much of it; False if the server will not."""
    there = fetch.size(output)
    got = _fetch(curl, [(there, min(there, total - there))], tag)
    if got is None:
        fetch.forget(output)
        return False
    with open(output, "ab") as file:
        for _, length, path in got:
            for block in _blocks(path, 0, length):
                file.write(block)
    return True


def _index(path):
    """(length of the first gzip member, the members) of an artifact's file, or of its beginning.

    Members are None where the first one does not end yet, and empty for what is no artifact of ours.
    """
    import json

    inflater, text, read = zlib.decompressobj(31), b"", 0
    with open(path, "rb") as file:
        while not inflater.eof:
            data = file.read(1 << 16)
            if not data:
                return 0, None
            read += len(data)
            try:
                text += inflater.decompress(data, 64 << 20)
            except zlib.error:
                return 0, []
            if len(text) > 64 << 20 or inflater.unconsumed_tail:
                return 0, []
    try:
        found = json.loads(text[text.index(b"{") :].rstrip(b"\0"))["members"]
        members = [(int(offset), int(length), str(sha256)) for offset, length, sha256 in found]
    except (ValueError, KeyError, TypeError):
        return 0, []
    end = 0
    for offset, length, _ in members:
        if offset != end or length <= 0:
            return 0, []
        end += length
    return read - len(inflater.unused_data), members


def ends(path):
    """Where each gzip member of an artifact ends in its file, the first one's first; empty for another
    maker's."""
    first, members = _index(path)
    found = [first] if members else []
    for _, length, _ in members or ():
        found.append(found[-1] + length)
    return found


def _there(paths):
    """sha256 → (file, offset) of every member of the kept artifacts."""
    found = {}
    for path in paths:
        try:
            first, members = _index(path)
        except OSError:
            continue
        for offset, _, sha256 in members or ():
            found.setdefault(sha256, (path, first + offset))
    return found


def _plan(first, members, head, there):
    """What comes after the head, as (start, length, sha256, source); no source: it is lacking."""
    plan = []
    for offset, length, sha256 in members:
        start = first + offset
        if start + length > head:
            plan.append((start, length, sha256, there.get(sha256)))
    return plan


def _behind(head, start, length):
    """The part of a range that the head does not have."""
    return max(start, head), start + length - max(start, head)


def _merged(ranges):
    """Ranges with those near each other made one, and long ones cut into pieces."""
    merged = []
    for start, length in ranges:
        if merged and start - sum(merged[-1]) <= NEAR:
            merged[-1] = (merged[-1][0], start + length - merged[-1][0])
        else:
            merged.append((start, length))
    return [
        (start + cut, min(PIECE, length - cut)) for start, length in merged for cut in range(0, length, PIECE)
    ]


def _fetch(curl, ranges, tag):
    """Fetch ranges: a list of (start, length, file) that covers them, or None: the whole is needed.

    A range that was cut off is asked for again from where it broke off.
    """
    got, failed = [], 0
    while ranges:
        jobs = [(start, length, os.path.join(curl.work, f"part{start}")) for start, length in ranges]
        lanes = min(LANES, len(jobs)) if sum(length for _, length in ranges) > LANES << 20 else 1
        texts = ["next\n".join(_job(curl, *job, tag) for job in jobs[lane::lanes]) for lane in range(lanes)]
        codes = curl.run(*texts)
        ranges, before = [], curl.moved
        for start, length, path in jobs:
            came = fetch.size(path)
            curl.moved += came
            status, _ = fetch.answer(path)
            if came > length or (came and status != 206) or (status in (200, 412, 416)):
                print("warning: the server does not send parts of this file any more: fetching it whole")
                return None
            if came:
                got.append((start, came, path))
            if came < length:
                ranges.append((start + came, length - came))
        code = next((code for code in codes if code), 0)
        if ranges:
            failed = 0 if curl.moved > before else failed + 1
            stuck = [path for start, length, path in jobs if fetch.size(path) < length]
            if code == 23:
                raise OSError(fetch.NO_SPACE, "No space left on device")
            if failed >= fetch.TRIES or not curl.may_try_again(code or 18, stuck[0]):
                raise fetch.FetchError(code or 18)
            fetch.time.sleep(2**failed - 1)
    return sorted(got)


def _job(curl, start, length, path, tag):
    lines = ("fail-early", f'range = "{start}-{start + length - 1}"', f'max-filesize = "{length}"')
    return curl.block(path, *lines, *fetch.same(tag))


def _blocks(path, offset, length):
    with open(path, "rb") as file:
        file.seek(offset)
        while length:
            block = file.read(min(fetch.BLOCK, length))
            if not block:
                return
            length -= len(block)
            yield block


def _write(output, parts, plan, sha256, total):
    """Put the file together; its digest. Raises WrongError."""
    digest, made = fetch.new_sha256(total), output + ".new"
    with open(made, "wb") as file:
        for start, length, expected, source in [(0, plan[0][0], "", None), *plan]:
            member = fetch.new_sha256(total)
            pieces = [(*source, length)] if source else _from_parts(parts, start, length)
            for path, offset, count in pieces:
                for block in _blocks(path, offset, count):
                    file.write(block)
                    digest.update(block)
                    if not sha256:
                        member.update(block)
            if expected and not sha256 and member.hexdigest() != expected:
                raise WrongError("a member should have the sha256 " + expected)
    os.rename(made, output)
    return _checked(digest.hexdigest(), sha256)


def _from_parts(parts, start, length):
    """The pieces (file, offset, count) that hold these bytes."""
    for begin, count, path in parts:
        low, high = max(start, begin), min(start + length, begin + count)
        if low < high:
            yield path, low - begin, high - low
