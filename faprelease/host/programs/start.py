# Starts a program on a host: python3 -c START FOLDER SHA256 PROGRAM [ARGUMENTS]. Its modules come on
# standard input, each after a line "#### name", and then the part "input". Compiling the modules takes as
# long as starting Python, and sending them takes longer than the rest of a release. So their text, and the
# code that this version of Python has compiled, stay in FOLDER (empty: nowhere), under the program's name
# and the sha256 of the text; from then on only "input" is sent. Files that someone else could have written
# are not used, nor damaged ones: the code has a checksum, and the text its sha256. With the only argument
# --keep the program is kept, and does not run.
import marshal
import os
import sys

folder, digest, program, *arguments = sys.argv[1:]
source = f"{folder}/{program}.{digest}.txt"
cached = f"{folder}/{program}.{digest}.{sys.implementation.cache_tag}-{sys.hexversion:x}"


def split(text):
    return dict(part.split("\n", 1) for part in text.split("\n#### ")[1:])


def read(path):
    with open(path if folder else "", "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
            return file.read()
    os.unlink(path)
    raise OSError("others could have written " + path)


def checksum(data):
    for name in ("_sha256", "_sha2"):  # they load at once: up to Python 3.11, and from 3.12 on
        try:
            return __import__(name).sha256(digest.encode() + data).digest()
        except ImportError:
            pass
    import hashlib

    return hashlib.sha256(digest.encode() + data).digest()


def compiled(sent):
    try:
        data = read(cached)
        if checksum(data[32:]) == data[:32]:
            return dict(marshal.loads(data[32:]))  # noqa: S302 (our own)
    except (OSError, EOFError, ValueError, TypeError):
        pass
    text = sent or read_source()
    # Each module is unmarshalled when it is imported: many are not.
    parts = split(text).items()
    code = {name: marshal.dumps(compile(part, name, "exec", optimize=2)) for name, part in parts}
    try:
        keep(text, marshal.dumps(code))
    except OSError:
        pass  # it is compiled again the next time
    return code


def read_source():
    import hashlib

    try:
        text = read(source)
        if hashlib.sha256(text).hexdigest() == digest:
            return text.decode()
        problem = source + " is damaged"
        os.unlink(source)
    except OSError as error:
        problem = error
    print(f"this host can't use the copy of fapkit's program that it kept: {problem}")
    print("release again to send it again")
    sys.exit(1)


def keep(text, code):
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for path, data in (source, text.encode()), (cached, checksum(code) + code):
        new = f"{path}.{os.getpid()}"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        os.rename(new, path)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        # The same program may run with several versions of Python.
        is_outdated = name.startswith(program + ".") and not path.startswith(f"{folder}/{program}.{digest}.")
        if is_outdated:
            os.unlink(path)


sent, _, program_input = sys.stdin.read().partition("\n#### input\n")
parts = {"input": program_input}
modules = compiled(sent)
if arguments == ["--keep"]:
    sys.exit(0)


class Loader:
    """Imports these modules by their bare names, as they import each other."""

    def find_spec(self, name, path, target=None):
        return type(sys.__spec__)(name, self) if name in modules else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(marshal.loads(modules[module.__name__]), module.__dict__)  # noqa: S102, S302 (our own text)


sys.meta_path.insert(0, Loader())
load = __import__

try:
    load(program).main(load, parts, *arguments)
except SystemExit as ended:
    # An orderly exit of Python takes longer than unpacking a small artifact.
    sys.stdout.flush()
    os._exit(ended.code or 0)
