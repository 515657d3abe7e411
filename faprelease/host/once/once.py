"""Run one command in a release, as the app itself runs: python3 -c CODE CONFIG.

CONFIG is JSON: release, environment (a file), argv, state, id (of this run), line (for the ledger), compare
(a script that prints which files of the release are not what they were). The command gets this process's
input, output and terminal. Without a terminal it has a session of its own, which is told when whoever reads
its output is gone. How it ended goes into the ledger.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading

ENVIRONMENT = """\
[ ! -f "$1" ] || { set -a; . "$1"; set +a; }
shift
[ ! -d venv/bin ] || { PATH=$PWD/venv/bin:$PATH; export PATH VIRTUAL_ENV="$PWD/venv"; }
export PYTHONDONTWRITEBYTECODE=1
exec "$@"
"""
SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)

config = json.loads(sys.argv[1])
tty = os.isatty(0)
try:
    os.chdir(config["release"])
except OSError as error:
    sys.exit("%s: %s" % (config["release"], error.strerror))


def default_signals():
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


for number in SIGNALS:
    signal.signal(number, signal.SIG_IGN)
process = subprocess.Popen(
    ["/bin/sh", "-c", ENVIRONMENT, "once", config["environment"], *config["argv"]],
    preexec_fn=default_signals,
    start_new_session=not tty,
)
folder = os.path.join(config["state"], "once")
file = os.path.join(folder, config["id"])
os.makedirs(folder, exist_ok=True)
with open(file, "w") as written:
    written.write("%d\n" % process.pid)


def hang_up():
    """Wait until nobody can read the output any more, as the connection is gone."""
    reader = select.poll()
    reader.register(1, 0)
    reader.poll()
    try:
        os.killpg(process.pid, signal.SIGHUP)
    except ProcessLookupError:
        pass


if not tty:
    threading.Thread(target=hang_up, daemon=True).start()
code = process.wait()
code = code if code >= 0 else 128 - code
os.unlink(file)
with open(os.path.join(config["state"], "ledger.jsonl"), "a") as ledger:
    ledger.write(json.dumps(dict(config["line"], code=code), separators=(",", ":")) + "\n")
compare = subprocess.Popen(
    ["/bin/sh", "-c", config["compare"]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
)
changed = [
    line
    for line in compare.communicate()[0].decode(errors="replace").splitlines()
    if line[:2] in ("+ ", "- ")
]
if changed:
    print("warning: the release is not what was installed (+ is now, - was):", file=sys.stderr)
    print("\n".join("  " + line for line in changed[:20]), file=sys.stderr)
    print("hint: a release makes it new; what is written belongs in shared/ (linked_dirs)", file=sys.stderr)
sys.stdout.flush()
os._exit(code or (3 if changed else 0))
