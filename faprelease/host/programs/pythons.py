"""Find a Python of a minor version on this host, as install.sh looks for it."""

import os
import sys

PROBE = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


def find(wanted):
    """(the path of a Python of this minor version, such as `3.11`; the versions that were found instead, by
    path). The path is `sys.executable` if that is one of them, and empty if there is none."""
    home = os.environ.get("HOME", "")
    places = [f"python{wanted}", f"/usr/local/bin/python{wanted}", f"/usr/bin/python{wanted}", "python3"]
    places += _versions(home + "/.pyenv/versions", wanted + ".")
    places += _versions(home + "/.local/share/uv/python", f"cpython-{wanted}.")
    here, others = "%d.%d" % sys.version_info[:2], {}
    for place in places:
        path = _on_path(place)
        if not path:
            continue
        if here == wanted and os.path.realpath(path) == os.path.realpath(sys.executable):
            return sys.executable, {}
        version, executable = _ask(path)
        if version == wanted:
            return executable or path, {}
        others[path] = version or "does not start"
    return "", others


def _versions(folder, prefix):
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [f"{folder}/{name}/bin/python3" for name in names if name.startswith(prefix)]


def _on_path(name):
    folders = [""] if "/" in name else os.environ.get("PATH", os.defpath).split(":")
    paths = (f"{folder}/{name}" if folder else name for folder in folders)
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), "")


def _ask(path):
    """(minor version, real path) that a Python prints; empty words if it does not start."""
    out, into = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, into, 1), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    try:
        child = os.posix_spawn(path, [path, "-I", "-S", "-c", PROBE], os.environ, file_actions=actions)
    except OSError:
        child = 0
    os.close(into)
    with open(out, errors="replace") as file:
        said = file.read().strip()
    if child:
        os.waitpid(child, 0)
    version, _, executable = said.partition(" ")
    return version, executable
