# Given to python3 -c: the modules of a host's program come on standard input, each behind a line "#### name",
# and then the part "input". To compile the modules takes as long as Python takes to start, and to send them
# more than the rest of a release. So their text, and what was compiled of it for this very Python, stay in
# the folder argv[1] (empty: nowhere), under the program's name and their sha256, argv[2]; then only "input"
# comes. A file counts if nobody else could write it.
import marshal
import os
import sys

folder, digest, program, *arguments = sys.argv[1:]
source = f"{folder}/{program}.{digest}.txt"
kept = f"{folder}/{program}.{digest}.{sys.implementation.cache_tag}-{sys.hexversion:x}"


def split(text):
    return dict(part.split("\n", 1) for part in text.split("\n#### ")[1:])


def read(path):
    with open(path if folder else "", "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
            return file.read()
    os.unlink(path)
    raise OSError("others could have written " + path)


def compiled(sent):
    try:
        return dict(marshal.loads(read(kept)))  # noqa: S302 (our own)
    except (OSError, EOFError, ValueError, TypeError):
        pass
    text = sent or from_here()
    found = {name: compile(part, name, "exec") for name, part in split(text).items()}
    try:
        keep(text, marshal.dumps(found))
    except OSError:
        pass  # it is compiled again the next time
    return found


def from_here():
    import hashlib

    try:
        text = read(source)
        if hashlib.sha256(text).hexdigest() == digest:
            return text.decode()
        problem = source + " is damaged"
        os.unlink(source)
    except OSError as error:
        problem = error
    print(f"this host can't use what it kept of fapkit: {problem}")
    print("release again, and it is sent anew")
    sys.exit(1)


def keep(text, code):
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for path, data in (source, text.encode()), (kept, code):
        new = f"{path}.{os.getpid()}"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        os.rename(new, path)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        is_of_an_earlier_version = name.startswith(program + ".") and path not in (kept, source)
        if is_of_an_earlier_version:
            os.unlink(path)


sent, _, told = sys.stdin.read().partition("\n#### input\n")
parts = {"input": told}
modules = compiled(sent)


def load(name):
    module = sys.modules[name] = type(sys)(name)
    exec(modules[name], module.__dict__)  # noqa: S102 (our own text)
    return module


try:
    load(program).main(load, parts, *arguments)
except SystemExit as ended:
    # An orderly end of Python costs a host more than unpacking a small artifact.
    sys.stdout.flush()
    os._exit(ended.code or 0)
