"""Run one command in a release, as the app itself runs: python3 -c CODE CONFIG.

CONFIG is JSON: release (its folder), start (a script that becomes the command), argv, state, id (of this
run), line (for the ledger), compare (a script that prints which files of the release changed). The command
gets this process's input, output and terminal. Without a terminal it has a session of its own, which gets HUP
when nobody reads its output any more. The ledger gets its exit code.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading

SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
"""They are passed on to the command, so they do not end this process."""


def set_signals(handler):
    for number in SIGNALS:
        signal.signal(number, handler)


def start(config, is_at_terminal):
    os.chdir(config["release"])
    set_signals(signal.SIG_IGN)
    return subprocess.Popen(
        ["/bin/sh", "-c", config["start"], "once", *config["argv"]],
        preexec_fn=lambda: set_signals(signal.SIG_DFL),
        start_new_session=not is_at_terminal,
    )


def hang_up_after_reader(process):
    """Send HUP once nobody can read the output any more, because the connection is lost."""
    reader = select.poll()
    reader.register(1, 0)
    reader.poll()
    try:
        os.killpg(process.pid, signal.SIGHUP)
    except ProcessLookupError:
        pass


def wait(process, config):
    """Wait until it ends; returns its exit code. Meanwhile a file has its process id, so that it can be
    interrupted."""
    file = os.path.join(config["state"], "once", config["id"])
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "w") as written:
        written.write(f"{process.pid}\n")
    code = process.wait()
    os.unlink(file)
    return code if code >= 0 else 128 - code


def add_to_ledger(config, code):
    line = json.dumps(dict(config["line"], code=code), separators=(",", ":"))
    with open(os.path.join(config["state"], "ledger.jsonl"), "a") as ledger:
        ledger.write(f"{line}\n")


def changed_files(config):
    compare = ["/bin/sh", "-c", config["compare"]]
    done = subprocess.run(compare, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    lines = done.stdout.decode(errors="replace").splitlines()
    return [line for line in lines if line[:2] in ("+ ", "- ")]


def main(config):
    """Returns the command's exit code, or 3 if that is 0 and files of the release have changed."""
    is_at_terminal = os.isatty(0)
    try:
        process = start(config, is_at_terminal)
    except OSError as error:
        sys.exit(f"{config['release']}: {error.strerror}")
    if not is_at_terminal:
        threading.Thread(target=hang_up_after_reader, args=[process], daemon=True).start()
    code = wait(process, config)
    add_to_ledger(config, code)
    changed = changed_files(config)
    if changed:
        lines = ["warning: files of the release have changed since it was installed (+ now, - before):"]
        lines += [f"  {line}" for line in changed[:20]]
        lines += ["hint: release again to restore them; what the app writes belongs in shared/ (linked_dirs)"]
        print("\n".join(lines), file=sys.stderr)
    sys.stdout.flush()
    return code or (3 if changed else 0)


os._exit(main(json.loads(sys.argv[1])))
