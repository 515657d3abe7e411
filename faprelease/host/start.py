# Given to python3 -c: the modules of a host's program come on standard input, each behind a line "#### name".
# They are compiled when they are loaded, so what a small artifact does not need costs it nothing.
import sys

parts = dict(part.split("\n", 1) for part in sys.stdin.read().split("\n#### ")[1:])


def load(name):
    module = sys.modules[name] = type(sys)(name)
    exec(compile(parts[name], name, "exec"), module.__dict__)  # noqa: S102 (our own text)
    return module


load(sys.argv[1]).main(load, parts, *sys.argv[2:])
