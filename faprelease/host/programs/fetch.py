"""Fetch an artifact, check its sha256 and unpack it; or only fetch a file.

curl moves the bytes. It gets the URL and its options on standard input, so that no argument list on the host
shows them.
"""

import _signal  # signal itself loads enum, which takes longer than a small file takes to fetch
import os
import sys
import time

ARTIFACTS = "artifacts"
WHOLE, CODE = ".tgz", ".code"
"""The endings of cached artifacts: whole ones, and those without their wheels (members.py)."""
SMALL = 1 << 20
"""Whole artifacts of fewer bytes are not cached: fetching them again costs less than searching the cache."""
PER_APP, MOST_BYTES, UNUSED_SECONDS = 2, 4 << 30, 90 * 86400
"""The cache keeps at most PER_APP artifacts of each app, MOST_BYTES in total, and drops artifacts that were
not used for UNUSED_SECONDS."""
BLOCK = 1 << 20
TRIES = 4
"""How often in a row a download may not get further by PROGRESS bytes."""
PROGRESS = 64 << 10
PAUSE = 0.2
"""The least pause between two tries, in seconds."""
PROXIES = "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"
"""The variables of curl(1) that name a proxy."""
AGAIN = {6, 7, 16, 18, 28, 52, 55, 56, 92}
"""curl's exit codes for network errors that may be gone a moment later."""
BUSY = {408, 429, 500, 502, 503, 504}
NO_SPACE, REFUSED = 28, 65
TOO_LARGE = 63
"""curl's exit code for a file that is larger than `max-filesize`."""
RESERVE, SHARE = 64 << 20, 50
"""An artifact leaves RESERVE bytes of a disk free, or one SHAREth of a smaller disk."""


class FetchError(Exception):
    """The artifact can't be fetched, and the reason was printed; `code` is the exit code."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Curl:
    """curl with the configuration of this download; `moved` counts the bytes received."""

    def __init__(self, config, work):
        self.config, self.work, self.moved = config, work, 0
        self.file = file_of(config)
        """The path of the artifact, if its URL is that of a file; else empty."""

    def clear(self):
        """Remove all that was fetched."""
        for name in os.listdir(self.work):
            os.unlink(os.path.join(self.work, name))

    def block(self, output, *lines):
        """The configuration of one transfer into the file `output`; the headers go to `output`.headers."""
        files = (f'output = "{output}"', f'dump-header = "{output}.headers"')
        return "\n".join((self.config, *files, *lines, ""))

    def run(self, *texts):
        """Run curl once for each text, side by side; their exit codes."""
        children = []
        for text in texts:
            out, into = os.pipe()
            actions = [(os.POSIX_SPAWN_DUP2, out, 0)]
            argv = ["curl", "-q", "--config", "-"]
            children.append(os.posix_spawnp("curl", argv, os.environ, file_actions=actions))
            os.close(out)
            try:
                with open(into, "w") as file:
                    file.write(text)
            except BrokenPipeError:  # it has ended, and printed why
                pass
        before = self._bytes_on_disk()

        def report(*_):
            try:
                os.write(1, fact("fetched", self.moved + self._bytes_on_disk() - before).encode())
            except (
                OSError
            ):  # nobody reads it any more: the session's shell ends this program, and curl with it
                pass

        _signal.signal(_signal.SIGALRM, report)
        _signal.setitimer(_signal.ITIMER_REAL, 1, 1)
        statuses = [os.waitpid(child, 0)[1] for child in children]
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        return [status >> 8 or status & 127 for status in statuses]

    def _bytes_on_disk(self):
        """The size of all files of this download, in bytes."""
        with os.scandir(self.work) as files:
            return sum(size(file.path) for file in files if not file.name.endswith(".headers"))

    def may_try_again(self, code, output):
        """True if the same request may succeed soon."""
        return code in AGAIN or (code == 22 and answer(output)[0] in BUSY)


def file_of(config):
    """The path in a configuration of curl whose URL is that of a file; empty if it is not."""
    _, begins, rest = config.partition('url = "file://')
    path, ends, _ = rest.partition('"')
    if not begins or not ends or "\\" in path:
        return ""
    from urllib.parse import unquote

    return unquote(path)


def fact(name, value):
    """A line that is only for the moment: the controller reads it, and keeps it nowhere."""
    return f"\r{name} {value}\n"


def answer(output):
    """(status, headers) of the last response of a transfer into `output`; status 0 if there was none."""
    try:
        with open(output + ".headers", encoding="latin-1") as file:
            blocks = file.read().replace("\r", "").strip().split("\n\n")
    except FileNotFoundError:
        return 0, {}
    status, *lines = blocks[-1].split("\n")
    words = status.split(" ")
    headers = dict(line.split(":", 1) for line in lines if ":" in line)
    headers = {name.lower(): value.strip() for name, value in headers.items()}
    return (int(words[1]) if words[1:] and words[1].isdigit() else 0), headers


def tag_of(headers):
    """The ETag; empty if it is weak, as a weak one does not identify bytes (RFC 9110, 8.8.1)."""
    tag = headers.get("etag", "")
    return tag if tag.startswith('"') and "\\" not in tag else ""


def same(tag):
    """The lines that have curl fetch the object with this ETag, or nothing."""
    quoted = tag.replace('"', '\\"')
    return (f'header = "If-Match: {quoted}"',) if tag else ()


def size(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def room(folder):
    """(bytes that an artifact may use on the disk of a folder, bytes that stay free)."""
    disk = os.statvfs(folder)
    reserve = min(RESERVE, disk.f_blocks * disk.f_frsize // SHARE)
    return max(disk.f_bavail * disk.f_frsize - reserve, 0), reserve


def forget(path):
    """Remove a download and its headers."""
    for name in (path, path + ".headers"):
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass


def fetch_whole(curl, output, sha256, in_one_piece=False):
    """Download the file; returns True if it came in one piece. `output` may have its beginning; unless it has
    to come `in_one_piece`, an interrupted download continues from there.

    Without a sha256 and an ETag a mix of two objects would not be noticed, so then it starts again. It
    continues only while it gets further: a server that always breaks off at the same byte, or sends a few
    bytes each time, is asked TRIES times.
    """
    failures, furthest, pieces = 0, 0, 0
    while True:
        tag = tag_of(answer(output)[1])
        if in_one_piece or not (sha256 or tag):
            forget(output)
        start = size(output)
        pieces += bool(start)
        space, reserve = room(curl.work)
        lines = (f'max-filesize = "{max(start + space, 1)}"',)
        lines += (f'continue-at = "{start}"', *same(tag)) if start else ()
        (code,) = curl.run(curl.block(output, *lines))
        curl.moved += size(output) - start
        if code == 0:
            return not pieces
        status, headers = answer(output)
        if size(output) - furthest >= PROGRESS:
            failures, furthest = 0, size(output)
        else:
            failures += 1
        if code == 23:
            raise OSError(NO_SPACE, "No space left on device")
        if code == TOO_LARGE:
            raise OSError(
                NO_SPACE, f"it is larger than the {space} bytes that are free here ({reserve} stay free)"
            )
        if start and (code == 33 or status in (412, 416)):
            print("the download starts again: the server can't continue where it broke off")
            forget(output)
        elif not curl.may_try_again(code, output) or failures >= TRIES:
            explain(code, status, size(output), failures, start, headers)
            raise FetchError(code)
        time.sleep(2**failures - 1 or PAUSE)


def explain(code, status, came, failures, start, headers):
    """Print what curl's own message does not say."""
    if status in (401, 403):
        print("the server refused it: a signed URL may have expired; make a new one: fapstore url")
    elif code in (18, 28, 56, 92) and came:
        whole = int(headers["content-length"]) + start if headers.get("content-length", "").isdigit() else 0
        of = f" of {whole}" if whole else ""
        print(f"the answer broke off {failures} times without getting further, now after {came}{of} bytes")
    proxies = [name for name in PROXIES if os.environ.get(name)]
    if code in (5, 7, 35, 56, 97) and proxies:
        print(f"this host has a proxy in {', '.join(proxies)}")


def new_sha256(size):
    """OpenSSL's sha256 is faster, but loading it takes longer than hashing a small file."""
    for name in ("_sha256", "_sha2") if size < 4 * SMALL else ():
        try:
            return __import__(name).sha256()
        except ImportError:
            pass
    import hashlib

    return hashlib.sha256()


def digest_of(path):
    digest = new_sha256(size(path))
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


class ArtifactCache:
    """The last artifacts of each app: whole ones by their sha256, `<cache>/artifacts/<app>/<sha256>.tgz`, and
    those without their wheels as `<root>-<sha256>.code`. It keeps nothing if `cache` is empty."""

    def __init__(self, cache):
        self.root, self.folder = cache, os.path.join(cache, ARTIFACTS) if cache else ""

    def paths(self, app=""):
        """Those of an app, or else of all apps; the newest first."""
        if not self.folder:
            return []
        paths = []
        for name in [_folder_of(app)] if app else self._list(self.folder):
            folder = os.path.join(self.folder, name)
            paths += [
                os.path.join(folder, file) for file in self._list(folder) if file.endswith((WHOLE, CODE))
            ]
        return sorted(paths, key=self._age)

    def _age(self, path):
        try:
            return -os.stat(path).st_mtime
        except FileNotFoundError:
            return 0

    def _list(self, folder):
        try:
            return os.listdir(folder) if folder else []
        except OSError:
            return []

    def _sweep(self):
        """Drop what is more than the cache may keep."""
        apps, total = {}, 0
        for number, path in enumerate(self.paths()):
            app = os.path.dirname(path)
            apps[app] = apps.get(app, 0) + 1
            total += size(path)
            too_old = time.time() + self._age(path) > UNUSED_SECONDS
            if number and (apps[app] > PER_APP or total > MOST_BYTES or too_old):
                self.drop([path])

    def drop(self, paths):
        """Remove them; returns how many there were."""
        for path in paths:
            forget(path)
        return len(paths)

    def add(self, path, app, name):
        """Keep a file that was checked. If that fails, the next release fetches it again."""
        if not self.folder or (size(path) < SMALL and name.endswith(WHOLE)):
            return
        target = os.path.join(self.folder, _folder_of(app), name)
        try:
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            os.chmod(os.path.dirname(self.folder), 0o700)
            move(path, target)
            os.utime(target)
            self._sweep()
        except OSError as error:
            print(f"this artifact is not cached for the next release: {error}")


def _folder_of(app):
    return app.replace("/", "_").lstrip(".") or "_"


def move(path, target):
    """Rename, or copy to another file system; `target` is always complete."""
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != 18:
            raise
        import shutil

        part = f"{target}.{os.getpid()}"
        try:
            shutil.copyfile(path, part)
            os.rename(part, target)
        finally:
            if os.path.exists(part):
                os.unlink(part)


def link(path, target):
    """Hard-link a file, or copy it to another file system."""
    try:
        os.link(path, target)
    except OSError:
        import shutil

        shutil.copyfile(path, target)


def fetch(load, curl, cache, sha256, output):
    """Bring the artifact to `output`; returns its digest, which is `sha256` unless that is empty."""
    paths = cache.paths()
    same_bytes = [path for path in paths if sha256 and os.path.basename(path) == sha256 + WHOLE]
    for path in same_bytes:
        link(path, output)
        if digest_of(output) == sha256:
            return sha256
        print(f"warning: a cached artifact is damaged, and is fetched again: {path}")
        cache.drop([path])
        paths.remove(path)
        forget(output)
    if paths:
        delta = load("delta")
        try:
            digest = delta.assemble(curl, paths, sha256, output)
            if digest:
                return digest
        except (delta.MismatchError, FileNotFoundError) as error:  # another run may have dropped one
            print(f"warning: assembling it from cached artifacts failed ({error}): fetching all of it")
            cache.drop(paths)
            forget(output)
    has_beginning = size(output) > 0
    is_whole = fetch_whole(curl, output, sha256) and not has_beginning
    digest = digest_of(output)
    if sha256 not in ("", digest) and not is_whole:
        print("warning: the parts of the download do not fit together: fetching it in one piece")
        fetch_whole(curl, output, sha256, in_one_piece=True)
        digest = digest_of(output)
    if sha256 not in ("", digest):
        print(f"the downloaded file has sha256 {digest}\n                      expected {sha256}")
        encoding = answer(output)[1].get("content-encoding", "identity")
        if encoding != "identity":
            print(f"the server compressed it (Content-Encoding: {encoding}): have it send the file as it is")
        raise FetchError(REFUSED)
    return digest


def run(load, curl, cache, sha256, root, folder, facts, state, app, libraries):
    """Raises FetchError, and OSError, which has ENOSPC for a full disk."""
    output, digest, wheels = os.path.join(curl.work, "artifact"), sha256, None
    unpack = load("unpack") if folder else None
    packages = unpack.InstalledPackages(state, cache.root, libraries) if folder else None
    if root and folder:
        wheels, total = load("members").bring(curl, cache, (root, sha256), app, packages, output)
    else:
        digest = fetch(load, curl, cache, sha256, output)
        total = size(output)
    print(f"downloaded {curl.moved} bytes of {total}")
    sys.stdout.write(fact("fetched", curl.moved))
    if folder:
        named = unpack.unpack(output, digest, root, folder, facts, packages, app, wheels)
        if named and root:
            load("members").keep(cache, output, named, (root, sha256), packages)
        elif named:
            cache.add(output, named, digest + WHOLE)
    sys.stdout.write(fact("digest", digest))


def attempt(*arguments):
    """(exit code, True if the disk was full)."""
    try:
        run(*arguments)
    except FetchError as error:
        return error.code, False
    except OSError as error:
        print(f"can't fetch and unpack: {error}")
        return 1, error.errno == NO_SPACE
    return 0, False


def clear(folder):
    for name in os.listdir(folder) if folder else ():
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            import shutil

            shutil.rmtree(path)
        else:
            os.unlink(path)


def main(load, parts, cache, work, sha256, root="", folder="", facts="", state="", app="", libraries=""):
    """Fetch to `work`/artifact; with `folder`, also unpack it there, and describe it in the file `facts`.

    With the `root` of the artifact, only its members are fetched that are needed. The folder `state` has
    packages that releases share; empty if the installer may not know of them. An artifact of another app than
    `app` is refused, unless that is empty. `libraries`: the sha256 of the wheels of fapkit's installer, with
    commas between them.

    Exit codes: 0; curl's own; 1 if, for example, the disk is full; 65 if the bytes are not the expected ones.
    """
    sys.stdout.reconfigure(line_buffering=True)  # curl writes to the same place
    os.mkdir(work, 0o700)
    curl, artifacts = Curl(parts["input"], work), ArtifactCache(cache)
    arguments = (load, curl, artifacts, sha256, root, folder, facts, state, app, libraries.split(","))
    code, full = attempt(*arguments)
    if full and artifacts.drop(artifacts.paths()):
        print("warning: the disk is full: dropping cached artifacts and starting again")
        clear(work)
        clear(folder)
        code, full = attempt(*arguments)
    if code:
        clear(folder)
    if code or folder:
        clear(work)
        os.rmdir(work)
    sys.exit(code)
