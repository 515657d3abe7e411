"""Keep hashed files of the previous release: `assets.py PREVIOUS NEW GENERATIONS FOLDER …`.

A page that was loaded before the swap requests its scripts after it. Files that have a hash in their names
and are missing from NEW are linked (across file systems: copied) from PREVIOUS. `.fap/assets.json` records
for how many releases each has been kept.
"""

import json
import os
import re
import shutil
import sys

HASHED = re.compile(r"[.-][0-9A-Za-z_]{8,}\.")


def read_ages(release):
    """path → for how many releases it has been kept."""
    try:
        with open(os.path.join(release, ".fap", "assets.json")) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def hashed_files(release, folder):
    """Paths, relative to the release, of files with a hash in their names. Links are skipped: they lead out
    of it."""
    for parent, _, names in os.walk(os.path.join(release, folder)):
        for name in names:
            path = os.path.join(parent, name)
            if HASHED.search(name) and not os.path.islink(path):
                yield os.path.relpath(path, release)


def link(source, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def main(previous, new, generations, *folders):
    old_ages, ages = read_ages(previous), {}
    for folder in folders:
        for path in hashed_files(previous, folder):
            age, target = old_ages.get(path, 0) + 1, os.path.join(new, path)
            if age <= int(generations) and not os.path.lexists(target):
                link(os.path.join(previous, path), target)
                ages[path] = age
    if ages:
        os.makedirs(os.path.join(new, ".fap"), exist_ok=True)
        with open(os.path.join(new, ".fap", "assets.json"), "w") as file:
            json.dump(ages, file, sort_keys=True)
    print(f"{len(ages)} files")


main(*sys.argv[1:])
