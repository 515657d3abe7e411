"""Say in which names two environment files differ: python3 - NOW THEN. No value is shown."""

import shlex
import sys


def read(path):
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            words = shlex.split(file.read())
    except (OSError, ValueError):
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


now, then = map(read, sys.argv[1:])
differences = (
    ("changed", [name for name in now if name in then and now[name] != then[name]]),
    ("gone", [name for name in now if name not in then]),
    ("back", [name for name in then if name not in now]),
)
told = "; ".join(f"{what}: {', '.join(names)}" for what, names in differences if names)
if told:
    print("warning: the environment is that of then; " + told)
