"""Keep hashed files of the previous release within reach: `assets.py PREVIOUS NEW GENERATIONS FOLDER …`.

A page that was loaded before the swap asks for its own scripts after it. Files whose names hold a hash, which
NEW lacks, are linked (copied across file systems) from PREVIOUS; `.fap/assets.json` says for how many
releases each has been carried on. Python 3.8 and its standard library.
"""

import json
import os
import re
import shutil
import sys

HASHED = re.compile(r"[.-][0-9A-Za-z_]{8,}\.")


def carried(release):
    """path → for how many releases it has been carried on."""
    try:
        with open(os.path.join(release, ".fap", "assets.json")) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def hashed_files(release, folder):
    """The paths, as seen from the release, of files whose names hold a hash; links lead out of it."""
    for parent, _, names in os.walk(os.path.join(release, folder)):
        for name in names:
            path = os.path.join(parent, name)
            if HASHED.search(name) and not os.path.islink(path):
                yield os.path.relpath(path, release)


def carry_on(source, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def main(previous, new, generations, *folders):
    before, now = carried(previous), {}
    for folder in folders:
        for path in hashed_files(previous, folder):
            age, target = before.get(path, 0) + 1, os.path.join(new, path)
            if age <= int(generations) and not os.path.lexists(target):
                carry_on(os.path.join(previous, path), target)
                now[path] = age
    if now:
        os.makedirs(os.path.join(new, ".fap"), exist_ok=True)
        with open(os.path.join(new, ".fap", "assets.json"), "w") as file:
            json.dump(now, file, sort_keys=True)
    print(f"{len(now)} files")


main(*sys.argv[1:])
