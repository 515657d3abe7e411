# Given to python3 -c: the modules of a host's program come on standard input, each behind a line "#### name".
# To compile them takes as long as Python takes to start. So what was compiled for this very Python stays in
# the folder argv[1] (empty: nowhere), under the program's name and their digest, argv[2]. It counts if nobody
# else could write it.
import marshal
import os
import sys

parts = dict(part.split("\n", 1) for part in sys.stdin.read().split("\n#### ")[1:])
folder, digest, program, *arguments = sys.argv[1:]
kept = "%s/%s.%s.%s-%x" % (folder, program, digest, sys.implementation.cache_tag, sys.hexversion)


def compiled():
    try:
        with open(kept if folder else "", "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
                return dict(marshal.load(file))  # noqa: S302 (our own)
    except (OSError, EOFError, ValueError, TypeError):
        pass
    found = {name: compile(text, name, "exec") for name, text in parts.items() if name != "input"}
    try:
        keep(marshal.dumps(found))
    except OSError:
        pass  # it is compiled again the next time
    return found


def keep(data):
    os.makedirs(folder, mode=0o700, exist_ok=True)
    new = "%s.%d" % (kept, os.getpid())
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    os.rename(new, kept)
    for name in os.listdir(folder):
        is_of_an_earlier_version = name.startswith(program + ".") and os.path.join(folder, name) != kept
        if is_of_an_earlier_version:
            os.unlink(os.path.join(folder, name))


modules = compiled()


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
