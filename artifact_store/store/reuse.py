"""Find what the store has of a new artifact: members of the versions that were pushed last.

Two versions of an app share most members: wheels, and files that did not change. The manifest of a version
says where its members lie, so its first bytes are enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from artifact_store.artifact.assemble import WORTHWHILE
from artifact_store.artifact.ids import ArtifactId
from artifact_store.artifact.manifest import Manifest
from artifact_store.artifact.peek import open_source, peek
from artifact_store.blobs.parts import Range
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import FapError
from artifact_store.records import artifacts, keys

LARGE = 16 << 20
"""The least size in bytes of an artifact for which other versions are looked at."""
_NEWEST = 4
"""How many versions are looked at: those of one app may be for several platforms."""
_ENOUGH = 0.5
"""The share of an artifact that ends the search."""
_SHORTEST = 1 << 20
"""The least size in bytes of a range that is worth a copy."""
_READING = timedelta(minutes=15)

Places = Mapping[tuple[str, int], tuple[str, int]]
"""The key and the offset of each member, by its sha256 and length."""


@dataclass(frozen=True)
class Reuse:
    """What other versions have of an artifact."""

    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()
    """Those that have the ranges."""
    problem: str = ""
    """Why no version could be looked at, although there may be some; empty if that is not so."""


def find(blobs: Blobs, manifest: Manifest, first: int) -> Reuse:
    """Look for the members of `manifest` in the newest versions of its app.

    `first` is the length of its own gzip member in bytes.
    """
    problems: list[str] = []
    versions: dict[str, str] = {}
    places: Places = {}
    ranges: tuple[Range, ...] = ()
    wanted = sum(member.length for member in manifest.members)
    try:
        listed = {blob.key: blob.modified for blob in blobs.listing(keys.artifacts(manifest.app))}
    except FapError as error:
        return Reuse(problem=error.message)
    for version in _newest(listed):
        try:
            record = artifacts.find(blobs, ArtifactId(manifest.app, version))
            if record is None or (key := artifacts.archive_key(record)) not in listed:
                continue
            places = {**_places(blobs, key), **places}
        except FapError as error:
            problems.append(error.message)
            continue
        versions[key] = version
        ranges = common(manifest, first, places)
        if sum(one.length for one in ranges) >= _ENOUGH * wanted:
            break
    if sum(one.length for one in ranges) < WORTHWHILE * wanted:
        return Reuse(problem=problems[0] if problems else "")
    return Reuse(ranges, tuple(dict.fromkeys(versions[one.key] for one in ranges)))


def common(
    manifest: Manifest, first: int, places: Mapping[tuple[str, int], tuple[str, int]]
) -> tuple[Range, ...]:
    """The ranges of an artifact whose members have `places`, but short ones; neighbours in both files are one
    range."""
    ranges: list[Range] = []
    for member, offset in zip(manifest.members, manifest.offsets, strict=False):
        if place := places.get((member.sha256, member.length)):
            key, there = place
            last = ranges[-1] if ranges else None
            if last and (last.end, last.key, last.offset + last.length) == (first + offset, key, there):
                ranges[-1] = Range(last.start, last.length + member.length, key, last.offset)
            else:
                ranges.append(Range(first + offset, member.length, key, there))
    return tuple(one for one in ranges if one.length >= _SHORTEST)


def _newest(listed: Mapping[str, datetime]) -> list[str]:
    """The versions that were pushed last, newest first, by the keys of an app and the times of these."""
    records = [(at, version) for key, at in listed.items() if (version := keys.recorded_version(key))]
    return [version for _, version in sorted(records, reverse=True)[:_NEWEST]]


def _places(blobs: Blobs, key: str) -> Places:
    with open_source(blobs.link(key, _READING).url) as source:
        outline = peek(source)
    members = zip(outline.manifest.members, outline.manifest.offsets, strict=False)
    return {(member.sha256, member.length): (key, outline.first + offset) for member, offset in members}
