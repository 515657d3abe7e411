"""Bytecode of wheels as artifacts have it: true, and forged."""

import gzip
import json
import marshal
import sys
from collections.abc import Mapping
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

from fapbuild.wheels.bytecode import Interpreter, bytecode_of

HERE = Interpreter(sys.executable, "{}.{}.{}".format(*sys.version_info[:3]))


def true_bytecode(wheel: Path) -> bytes:
    """What `fapbuild pack` would put into the artifact."""
    return gzip.compress(bytecode_of(wheel, HERE))


def forged(sources: Mapping[str, str], runs: str, *, magic: bytes = MAGIC_NUMBER, flags: int = 1) -> bytes:
    """Bytecode that runs the code `runs` in place of each of these sources."""
    code = marshal.dumps(compile(runs, "forged.py", "exec"))
    files = {
        path: magic + flags.to_bytes(4, "little") + source_hash(text.encode()) + code
        for path, text in sources.items()
    }
    listed = json.dumps([[path, len(data)] for path, data in files.items()])
    return gzip.compress(listed.encode() + b"\n" + b"".join(files.values()))
