#!/bin/sh
# Makes venv/ beside this script from wheels/, without network: tar xzf APP.tgz && ./install.sh
#
# FAP_PYTHON=/path/to/python picks the interpreter. Run it again whenever it was interrupted.
set -eu
umask 022
CDPATH='' cd -- "$(dirname -- "$0")"

fail() {
    echo "install.sh: $1" >&2
    shift
    for line in "$@"; do echo "  $line" >&2; done
    exit 1
}

# The wheels were chosen for one minor version of Python: "cp311" in the manifest is Python 3.11.
[ -r .fap/manifest.json ] || fail "there is no .fap/manifest.json in $PWD" "was the whole artifact unpacked?"
wanted=$(sed -n 's/.*"target":{"python":"cp\([0-9]\)\([0-9]*\)".*/\1.\2/p' .fap/manifest.json)
[ -n "$wanted" ] || fail "the manifest names no CPython version"

# Also asked for: what the installer imports and python3-minimal lacks (to find it is quicker than to import it), and where it
# really is: what lies on the PATH may be a script that starts another (pyenv).
probe='import sys
from importlib.machinery import PathFinder
lacks, json = "", PathFinder.find_spec("json")
inside = json.submodule_search_locations if json else []
for name, path in ("decoder", inside), ("shutil", None), ("zipfile", None):
    if not PathFinder.find_spec(name, path):
        lacks = " without " + name.replace("decoder", "json.decoder")
try:
    import zlib
except ImportError:
    lacks = " without zlib"
print("%s|%d.%d" % (sys.executable, *sys.version_info[:2]) + lacks)'

python='' looked=''
try() {
    [ -z "$python" ] || return 0
    path=$(command -v -- "$1") || { looked="$looked
  $1: not there"; return 0; }
    said=$("$path" -I -S -c "$probe" 2>/dev/null) || said='does not start'
    version=${said##*"|"}
    real=${said%"$version"}
    real=${real%"|"}
    if [ "$version" = "$wanted" ]; then python=${real:-$path}; else looked="$looked
  $path: $version"; fi
}

if [ -n "${FAP_PYTHON:-}" ]; then
    try "$FAP_PYTHON"
    [ -z "$python" ] || python=$FAP_PYTHON
else
    for candidate in "python$wanted" "/usr/local/bin/python$wanted" "/usr/bin/python$wanted" python3 \
        "${HOME:-}/.pyenv/versions/$wanted".*/bin/python3 \
        "${HOME:-}/.local/share/uv/python/cpython-$wanted".*/bin/python3; do
        try "$candidate"
    done
fi
[ -n "$python" ] || fail "this artifact was built for Python $wanted, which was not found; looked at:$looked" \
    "install python$wanted, or say where it is: FAP_PYTHON=/path/to/python$wanted ./install.sh"

# Without `site`: what the packages of this Python do when it starts is no part of an install.
exec "$python" -I -S -B .fap/installer
