"""Print which variables differ between two environment files, by name only: python3 - CURRENT OTHER."""

import shlex
import sys


def read(path):
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            words = shlex.split(file.read())
    except (OSError, ValueError):
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


current, other = map(read, sys.argv[1:])
differences = {
    "changed": [name for name in current if name in other and current[name] != other[name]],
    "gone": [name for name in current if name not in other],
    "back": [name for name in other if name not in current],
}
summary = "; ".join(f"{what}: {', '.join(names)}" for what, names in differences.items() if names)
if summary:
    print("warning: the release has its own older environment; " + summary)
