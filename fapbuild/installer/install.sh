#!/bin/sh
# Makes venv/ beside this script from wheels/, without network: tar xzf APP.tgz && ./install.sh
#
# FAP_PYTHON=/path/to/python picks the interpreter. Run it again whenever it was interrupted.
set -eu
umask 022
case $0 in */*) CDPATH='' cd -- "${0%/*}/" ;; esac

# The releaser has checked the artifact and this machine, chosen this Python, and made the packages.
[ -z "${FAP_PACKAGES:-}" ] || exec "$FAP_PYTHON" -I -S -B .fap/installer

fail() {
    echo "install.sh: $1" >&2
    shift
    for line in "$@"; do echo "  $line" >&2; done
    exit 1
}

# The wheels are for one minor version of Python: "cp311" in the manifest is Python 3.11.
[ -r .fap/manifest.json ] || fail "there is no .fap/manifest.json in $PWD" "was the whole artifact unpacked?"
wanted=$(sed -n 's/.*"target":{"python":"cp\([0-9]\)\([0-9]*\)".*/\1.\2/p' .fap/manifest.json)
[ -n "$wanted" ] || fail "the manifest names no CPython version"

# Also checks for modules that the installer needs and python3-minimal lacks (finding them is quicker than importing them), and
# prints the real path: a python on the PATH may be a script that starts another (pyenv).
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

python='' tried=''
try() {
    [ -z "$python" ] || return 0
    path=$(command -v -- "$1") || { tried="$tried
  $1: not found"; return 0; }
    answer=$("$path" -I -S -c "$probe" 2>/dev/null) || answer='does not start'
    version=${answer##*"|"}
    real=${answer%"$version"}
    real=${real%"|"}
    if [ "$version" = "$wanted" ]; then python=${real:-$path}; else tried="$tried
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
[ -n "$python" ] || fail "this artifact was built for Python $wanted, which was not found; looked at:$tried" \
    "install python$wanted, or set its path: FAP_PYTHON=/path/to/python$wanted ./install.sh"

# Without `site`: code that packages of this Python run at its start must not affect an install.
exec "$python" -I -S -B .fap/installer
