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

python='' found=''
try() {
    [ -z "$python" ] || return 0
    path=$(command -v -- "$1") || { found="$found; $1: not there"; return 0; }
    version=$("$path" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || version='does not start'
    if [ "$version" = "$wanted" ]; then python=$path; else found="$found; $path: $version"; fi
}

if [ -n "${FAP_PYTHON:-}" ]; then
    try "$FAP_PYTHON"
else
    try "python$wanted"
    try "/usr/bin/python$wanted"
    try python3
fi
[ -n "$python" ] || fail "this artifact was built for Python $wanted, which was not found" \
    "looked at: ${found#; }" \
    "install python$wanted, or say where it is: FAP_PYTHON=/path/to/python$wanted $0"

exec "$python" -I .fap/install.py
