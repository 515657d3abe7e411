"""Make a set of packages from that of another role of the same app, which has the same one on this host.

For shared.py. `<cache>/sets/<app>-<name of the set>` is a link to one such set. Its files are linked, and
they are not hashed: their names, sizes and times are compared with those of when it was made, as for the
role's own set after a restart. Both roles belong to one app and one user.
"""

import os

import layout
import linking
from workers import spread

SITE = "/" + layout.SITE


def note(cache, app, env):
    """Note where this set is, unless one of its name is noted. Without a note, the next role makes its set
    from the cache."""
    name = os.path.basename(env)
    if find(cache, app, name):
        return
    path = _path(cache, app, name)
    new = linking.name_of_new(path)
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.symlink(os.path.abspath(env), new)
        os.replace(new, path)
    except OSError:
        pass


def find(cache, app, name):
    """The path of a set of this name that this user has made for the app; empty if there is none."""
    try:
        env = os.readlink(_path(cache, app, name))
        is_ours = os.path.basename(env) == name and os.stat(env).st_uid == os.geteuid()
    except OSError:
        return ""
    return env if is_ours else ""


def _path(cache, app, name):
    return os.path.join(cache, "sets", f"{app}-{name}".replace("/", "_"))


def link(source, target, state):
    """Link all files of a set into the new folder `target`, with folders that are read-only; returns the
    `state` of the source, (a digest, its folders), and the lines of the new folders. Raises OSError."""
    os.makedirs(target + SITE)
    lines = _link("", source, target, source + SITE)
    with os.scandir(source + SITE) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    # The state takes longest, so it is the first job.
    jobs = ["", *(f"{SITE}/{name}" for name in names)]
    work = lambda job: _link(job, source, target) if job else state(source)  # noqa: E731 (a job is one call)
    seen, *linked = spread(jobs, work)
    for folder in (SITE, os.path.dirname(SITE), os.path.dirname(os.path.dirname(SITE))):
        os.chmod(target + folder, 0o555)
        lines.append(_line(target, folder))
    return seen, [*lines, *(line for found in linked for line in found), _line(target, "")]


def _link(top, source, target, left_out=""):
    """Link the files in and below a folder of a set; returns the lines of the folders made. Folders that are
    there already are not made, and stay writable; of `left_out` only the files are linked."""
    made, folders = [], [top]
    while folders:
        folder = folders.pop()
        if not os.path.isdir(target + folder):
            os.mkdir(target + folder)
            made.append(folder)
        with os.scandir(source + folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}"
                if not entry.is_dir(follow_symlinks=False):
                    os.link(entry.path, target + path, follow_symlinks=False)
                elif source + folder != left_out:
                    folders.append(path)
    for folder in made:
        os.chmod(target + folder, 0o555)
    return [_line(target, folder) for folder in made if not folder.endswith("/__pycache__")]


def _line(target, folder):
    return f"{os.stat(target + folder).st_mtime_ns} {folder}"
