"""One set of installed packages for all releases of an app with the same requirements.lock; never changed.

`<envs>/<digest of requirements.lock>-<python>/` is a venv's folder without the interpreter. A release's own
venv has the interpreter, the scripts and the data, and a link to the packages, so its paths, sys.path and
sysconfig are those of any venv. Its link `packages` names the set; a set that no release names is removed.

A set is made of hard links to the cache. A contained installer reaches the two through different mounts, and
the kernel does not link files across mounts, even of one file system. So it makes the set in the folder
FAP_NEW of the cache, and leaves a link to it at its final place, which the program that contains the
installer replaces by the set itself (faprelease/host/programs/contain.py).
"""

import errno
import os
import sys

import layout
import linking
from digest import new_sha256

SITE = os.path.join("lib", "python" + layout.VERSION, "site-packages")
LINK, BYTECODE = "packages", "/__pycache__"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def find_or_make(envs, cache, made_in, lock, wheels_of):
    """The folder with the packages of the file `lock`, and the warnings from making it.

    If it has to be made, `wheels_of` returns the wheels as (path, sha256). It is made in the folder
    `made_in`, or beside its final place if that is empty. Raises RefusedError and OSError.
    """
    with open(lock, "rb") as file:
        digest = new_sha256(file.read()).hexdigest()[:32]
    name = "%s-%s" % (digest, "%d.%d.%d" % sys.version_info[:3])
    number = 0
    while True:
        env = os.path.join(envs, "%s.%d" % (name, number) if number else name)
        if not os.path.lexists(env):
            return env, _make(env, cache, made_in, wheels_of())
        if _is_unchanged(env):
            return env, []
        print("warning: someone changed %s; another folder is used instead" % env)
        number += 1


def thin_venv(venv, env, app):
    """Make the venv of a release with the packages of `env`."""
    site = layout.begin(venv)
    place = os.path.join(os.path.realpath(os.path.dirname(env)), os.path.basename(env))
    link = os.path.join(venv, LINK)
    os.symlink(os.path.relpath(place, os.path.realpath(venv)), link)
    os.symlink(os.path.join(os.path.relpath(link, os.path.dirname(site)), SITE), site)
    linking.link_tree(env, venv, leave_out=SITE)
    layout.finish(venv, app)


def _make(env, cache, made_in, wheels):
    """Make a set; try again once if another process emptied the cache, or if the disk is full and we did."""
    import wheelcache

    envs, name = os.path.split(env)
    os.makedirs(envs, exist_ok=True)
    wheel_folder = _usable(cache)
    parent = made_in if wheel_folder and _is_beside(made_in, envs) else envs
    new = linking.name_of_new(os.path.join(parent, name))
    unpacked = wheelcache.WheelCache(wheel_folder or new + ".wheels")
    try:
        try:
            return _build(new, env, unpacked, wheels)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOSPC):
                raise
            print("warning: %s; starting again" % error)
            full = error.errno == errno.ENOSPC
        _remove(new)
        if full and cache:
            print("warning: the disk is full; emptying the cache")
            import shutil

            shutil.rmtree(cache, onerror=_make_writable)
        return _build(new, env, unpacked, wheels)
    finally:
        if not os.path.islink(env):
            _remove(new)
        _remove(new + ".wheels")


def _is_beside(made_in, envs):
    """Whether a set in the folder `made_in` can be renamed to its final place."""
    try:
        return bool(made_in) and os.stat(made_in).st_dev == os.stat(envs).st_dev
    except OSError:
        return False


def _remove(folder):
    if os.path.lexists(folder):
        linking.remove(folder)


def _usable(cache):
    if not cache:
        return ""
    try:
        os.makedirs(cache, mode=0o700, exist_ok=True)
    except OSError:
        return ""
    return os.path.join(cache, "wheels") if os.access(cache, os.W_OK | os.X_OK) else ""


def _make_writable(function, path, _):
    try:
        os.chmod(os.path.dirname(path), 0o755)
        function(path)
    except OSError:
        pass


def _build(new, env, cache, wheels):
    import packages
    import requirements

    with cache.held():
        packages.link_all(cache.trees(wheels), new)
    site = os.path.join(new, SITE)
    os.makedirs(site, exist_ok=True)
    warnings = requirements.check(site)
    linking.make_folders_read_only(new)
    os.chmod(new, 0o755)  # without root, a folder that is read-only can't be moved
    _record(env, _state(new))
    try:
        os.rename(new, env)
        os.chmod(env, 0o555)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        os.symlink(new, env)
    return warnings


def _is_unchanged(env):
    """Whether a set has not changed since it was made.

    `<env>.seen` holds the boot in which the whole set was last checked, a digest of its names, sizes and
    times, and the folders with their times, which show added, removed and replaced files. A crash or a
    restored snapshot may have lost the contents of recent files, but then the boot is another one.
    """
    try:
        with open(env + ".seen", encoding="utf-8", errors="surrogateescape") as file:
            boot, digest, *folders = file.read().split("\n")
        if boot == _boot():
            return all(os.stat(env + path).st_mtime_ns == int(at) for at, path in map(_words, folders))
        state = _state(env)
        if state[0] != digest:
            return False
        _record(env, state)
    except (OSError, ValueError):
        return False
    return True


def _words(line):
    return line.split(" ", 1)


def _boot():
    with open(BOOT_ID, encoding="ascii") as file:
        return file.read().strip()


def _record(env, state):
    digest, folders = state
    new = linking.name_of_new(env + ".seen")
    with open(new, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n".join([_boot(), digest, *folders]))
    os.replace(new, env + ".seen")


def _state(env):
    """A digest of names, sizes and times, and a list of the folders with their times.

    Half of the folders hold bytecode. They are left out: if one is removed, its parent folder shows it.
    """
    total, times, folders = new_sha256(), [], [env]
    while folders:
        folder = folders.pop()
        if not folder.endswith(BYTECODE):
            times.append("%d %s" % (os.stat(folder).st_mtime_ns, folder[len(env) :]))
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    facts = entry.stat(follow_symlinks=False)
                    line = "%s %d %d\n" % (entry.path[len(env) :], facts.st_size, facts.st_mtime_ns)
                    total.update(line.encode("utf-8", "surrogateescape"))
    return total.hexdigest(), times
