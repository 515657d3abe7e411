"""Compile the Python files of a wheel: python -s -S -B compile_wheel.py WHEEL OUTPUT [PROCESSES]

It runs with the Python of the target, 3.8 or newer, and runs nothing of the wheel. The output is what
artifact_store/artifact/installing/bytecode.py describes, without gzip.

marshal marks objects that have more than one reference, and a name may have more of them in a process that
has compiled something else. So each file is compiled in a process of its own, forked from one that compiles
nothing: its bytecode depends on the file and on this Python alone. PYTHONHASHSEED=0 gives sets one order,
which they have by themselves from 3.11 on.
"""

import sys

del sys.path[0]  # the folder of this program

import json  # noqa: E402
import marshal  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import struct  # noqa: E402
import warnings  # noqa: E402
import zipfile  # noqa: E402
from importlib.util import MAGIC_NUMBER, source_hash  # noqa: E402

LARGEST = 64 << 20
"""Bytes of bytecode that hosts accept for one file; they compile what has more (installing/bytecode.py)."""
CPU_SECONDS, MEMORY = 120, 4 << 30
"""What compiling one file may take."""
NOT_PYTHON = 3
"""The exit code of a child whose file can't be compiled."""
UNCHECKED = 1
"""The flags of PEP 552: the pyc has a hash of its source, which Python does not compare."""
SCHEMES = "purelib", "platlib"


def main(wheel, output, processes):
    with zipfile.ZipFile(wheel) as archive:
        names = {place_of(name): name for name in archive.namelist() if name.endswith(".py")}
        names.pop("", None)
        places = sorted(names)
        compiled = in_children(places, lambda place: archive.read(names[place]), processes)
    listed = [[place, len(data)] for place, data in zip(places, compiled) if data]  # noqa: B905 (new in 3.10)
    with open(output, "wb") as file:
        file.write(json.dumps(listed, separators=(",", ":")).encode() + b"\n")
        for data in compiled:
            file.write(data)


def place_of(name):
    """The path of a file of a wheel in site-packages; empty if it is not installed there."""
    folder, _, rest = name.partition("/")
    if not folder.endswith(".data"):
        return name
    scheme, _, path = rest.partition("/")
    return path if scheme in SCHEMES else ""


def in_children(places, read, processes):
    """The bytecode of each file, in order; empty for one that can't be compiled."""
    results, running = {}, {}
    todo = list(reversed(places))
    while todo or running:
        while todo and len(running) < processes:
            place = todo.pop()
            source = read(place)
            out, into = os.pipe()
            child = os.fork()
            if not child:
                os.close(out)
                write_compiled(source, place, into)
            os.close(into)
            running[out] = place, child
        out = next(iter(running))
        place, child = running.pop(out)
        with open(out, "rb") as file:
            data = file.read()
        status = os.waitpid(child, 0)[1]
        if status not in (
            0,
            NOT_PYTHON << 8,
        ):  # the same file may compile elsewhere, and the bytes would differ
            sys.exit(f"compiling {place!r} took too much memory or time, or was stopped (status {status})")
        results[place] = data if status == 0 and len(data) <= LARGEST else b""
    return [results[place] for place in places]


def limit(what, most):
    """Limit this process, unless it may use less anyway."""
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def write_compiled(source, place, into):
    """The whole life of a child."""
    status = 1
    limit(resource.RLIMIT_CPU, CPU_SECONDS)
    limit(resource.RLIMIT_AS, MEMORY)
    try:
        warnings.simplefilter("ignore")
        code = compile(source, place, "exec", dont_inherit=True, optimize=0)
        header = MAGIC_NUMBER + struct.pack("<L", UNCHECKED) + source_hash(source)
        with open(into, "wb") as file:
            file.write(header + marshal.dumps(code))
        status = 0
    except (SyntaxError, ValueError, RecursionError, OverflowError):
        status = NOT_PYTHON
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
