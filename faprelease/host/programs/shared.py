"""Make the packages of an artifact in a folder that releases share: one for each lock and Python.

For install.py, before it runs the artifact's own installer, which can only read what is here. Wheels are
unpacked into the cache of all apps (wheelcache.py) and linked from there.

`<envs>/<digest of requirements.lock>-<digest of the wheels' names>-<python>/` is a venv's folder without the
interpreter; it is never changed. `<...>.seen` is how it looked when it was made, and `<...>.files` the sha256
of each of its files, as `sha256sum` prints them. The link `venv/packages` of a release names it, and packages
that no release names are removed.
"""

import errno
import json
import os
import sys

import layout
import linking
import machine
import other_role
from digest import new_sha256
from refusal import RefusedError

BYTECODE = "/__pycache__"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
DAMAGED = ValueError, KeyError, TypeError, AttributeError


def make(root, envs, cache, known_wheels, app):
    """The folder with the packages of the artifact in `root`, and the bytecode of its project's files.

    `cache` may be empty. `app` is the name that deploy.yml gives the app; only its roles share sets. The
    artifact's copies of the libraries `installer` and `packaging` are used if their sha256 is one of
    `known_wheels`; without them, and without packages made before, the result is empty. Raises RefusedError
    and OSError.
    """
    try:
        with open(root + "/.fap/manifest.json", encoding="utf-8") as file:
            manifest = json.load(file)
        machine.check(manifest["target"], manifest.get("libraries", ()))
        paths = [path for path, _, _ in manifest["files"]]
        env = _find_or_make(root, manifest, envs, cache, known_wheels, app)
        if env:
            _compile_own(root, manifest["app"], paths, cache)
        if env and cache:
            other_role.note(cache, app, env)
    except DAMAGED as error:
        raise RefusedError(f".fap/manifest.json or requirements.lock is damaged: {error!r}", 6) from None
    return env


def _find_or_make(root, manifest, envs, cache, known_wheels, app):
    name = _name(root, manifest["wheels"])
    number = 0
    while True:
        env = os.path.join(envs, "%s.%d" % (name, number) if number else name)
        if not os.path.lexists(env):
            break
        if _is_unchanged(env):
            return env
        print("warning: someone changed %s; another folder is used instead" % env)
        number += 1
    if cache and not number and _link_from_another_role(env, cache, app, name):
        return env
    if not _use_libraries(root, known_wheels):
        print(
            "note: this artifact has other versions of `installer` or `packaging` than this releaser knows;"
        )
        print("its packages are installed in its own folder")
        return ""
    _make(env, root, cache, manifest["wheels"])
    return env


def _link_from_another_role(env, cache, app, name):
    """Make a set from that of another role of the app; False if there is none that is as it was made."""
    source = other_role.find(cache, app, name)
    if not source or not _is_unchanged(source):
        return False
    new = linking.name_of_new(env)
    try:
        with open(source + ".seen", encoding="utf-8", errors="surrogateescape") as file:
            _, digest, *_ = file.read().split("\n")
        with open(source + ".files", encoding="utf-8", errors="surrogateescape") as file:
            files = file.read()
        (now, _), folders = other_role.link(source, new, _state)
        if now == digest:
            _finish(new, env, files, (digest, folders))
            return True
        print("warning: someone changed %s; it is not used for this role" % source)
    except (OSError, ValueError, RefusedError):  # it was removed, or is on another file system
        pass
    finally:
        _remove(new)
    return False


def _name(root, wheels):
    with open(root + "/requirements.lock", "rb") as file:
        lock = new_sha256(file.read()).hexdigest()[:32]
    names = "\n".join(sorted(wheel["file"] + wheel.get("bytecode", "") for wheel in wheels))
    length = 64 if any(wheel.get("bytecode") for wheel in wheels) else 16
    digest = new_sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:length]
    return "%s-%s-%d.%d.%d" % (lock, digest, *sys.version_info[:3])


def _use_libraries(root, known_wheels):
    """Make the artifact's copies of our libraries importable; False unless all of them are known."""
    from wheels import sha256_of

    folder = root + "/.fap"
    found = sorted(folder + "/" + name for name in os.listdir(folder) if name.endswith(".whl"))
    names = {os.path.basename(path).partition("-")[0] for path in found}
    if names != {"installer", "packaging"} or any(sha256_of(path) not in known_wheels for path in found):
        return False
    sys.path += found
    return True


def _make(env, root, cache, listed):
    """Make packages. Try again once if another process emptied the cache, or if we did for a full disk."""
    import wheelcache
    from wheels import check_wheels

    wheels = [
        (f"{root}/wheels/{name}", *digests) for name, *digests in check_wheels(root, listed, bool(cache))
    ]
    os.makedirs(os.path.dirname(env), exist_ok=True)
    wheel_folder = _usable(cache)
    new = linking.name_of_new(env)
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

            # The only copies of wheels that were left out are in the cache.
            has_all = all(os.path.exists(path) for path, *_ in wheels)
            folder = cache if has_all else cache + "/artifacts"
            if os.path.isdir(folder):
                shutil.rmtree(folder, onerror=_make_writable)
        return _build(new, env, unpacked, wheels)
    finally:
        _remove(new)
        _remove(new + ".wheels")


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
    import requirements

    with cache.held():
        files = cache.link_all(wheels, new)
    site = os.path.join(new, layout.SITE)
    os.makedirs(site, exist_ok=True)
    for warning in requirements.check(site):
        print(f"warning: {warning}")
    linking.make_folders_read_only(new)
    lines = sorted(map(_line_of_sha256sum, files.items()), key=os.fsencode)
    _finish(new, env, "".join(lines), _state(new))


def _finish(new, env, files, state):
    os.chmod(new, 0o755)  # without root, a folder that is read-only can't be moved
    _write(env + ".files", files)
    _record(env, state)
    os.rename(new, env)
    os.chmod(env, 0o555)


def _line_of_sha256sum(file):
    path, digest = file
    escaped = path.replace("\\", "\\\\").replace("\n", "\\n")
    return ("\\" if escaped != path else "") + f"{digest}  ./{escaped}\n"


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
    _write(env + ".seen", "\n".join([_boot(), digest, *folders]))


def _write(path, text):
    new = linking.name_of_new(path)
    with open(new, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.replace(new, path)


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


def _compile_own(root, app, paths, cache):
    """Compile the project's files; unchanged ones get their bytecode from the cache."""
    import bytecode

    name = f"{app}-{sys.implementation.cache_tag}".replace("/", "_")
    kept = os.path.join(cache, "bytecode", name) if cache else ""
    bytecode.compile_own(root, bytecode.projects_python(root, paths), kept)
