"""Prints the lines of logs that are wanted, and follows several logs at once.

It is run by `python3 -c` with WANTED KIND [WORDS]: WANTED is a JSON object (`Wanted`). KIND is `supervisor`,
for the processes of supervisord that the words name, `files`, for log files, or `journal`, for a journalctl
command.
"""

import calendar
import collections
import json
import os
import re
import select
import subprocess
import sys
import threading
import time

CTL = "supervisorctl"
FIRST, MOST = 64 * 1024, 32 * 1024 * 1024
"""How much of the end of a log is read at first, and at most, in bytes."""
STARTED, SETTLED = 10, 0.5
"""How long `supervisorctl tail -f` takes to begin, and is silent after what it repeats, in seconds."""
BANNER = b"==> Press Ctrl-C to exit <==\n"
NOT_XML = b"error: <class 'xml.parsers.expat.ExpatError'>"
"""supervisorctl asks by XML-RPC, and XML has no control characters; `tail -f` asks by plain HTTP."""
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(?: ?(Z\b|[+-]\d\d:?\d\d\b))?", re.ASCII
)
CLF = re.compile(r"(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d{4})", re.ASCII)
"""Common Log Format, of web servers: httpd.apache.org/docs/2.4/logs.html."""


class Wanted:
    """The last `lines` (0: all) since a time, in seconds of the epoch (0: any), that contain `grep`."""

    def __init__(self, lines=0, since=0, grep="", follow=False):
        self.lines, self.since, self.grep, self.follow = int(lines), int(since), grep, follow

    def choose(self, text):
        """The wanted lines of a log, and whether it goes back far enough for them."""
        lines, reaches = text.splitlines(), False
        if self.since:
            times = [time_of(line) for line in lines]
            known = [at for at in times if at is not None]
            reaches = bool(known) and known[0] < self.since
            kept, last = [], known[0] if known else self.since
            for line, at in zip(lines, times):
                last = last if at is None else at
                if last >= self.since:
                    kept.append(line)
            lines = kept
        lines = [line for line in lines if self.grep in line]
        if self.lines:
            reaches = reaches or len(lines) > self.lines
            lines = lines[-self.lines :]
        return lines, reaches


def time_of(line):
    """The time that a line begins with or near, in seconds of the epoch; None if there is none."""
    try:
        match = ISO.search(line[:200])
        if match:
            *parts, zone = match.groups()
            return epoch([int(part) for part in parts], zone)
        match = CLF.search(line[:200])
        if match:
            day, month, year, *clock, zone = match.groups()
            parts = [year, MONTHS.index(month) + 1, day, *clock]
            return epoch([int(part) for part in parts], zone)
    except (ValueError, OverflowError):
        pass
    return None


def epoch(parts, zone):
    """Seconds of the epoch; without a zone the time is that of this machine."""
    if not zone:
        return time.mktime((*parts, 0, 0, -1))
    ahead = 0
    if zone != "Z":
        ahead = int(zone[0] + "1") * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)
    return calendar.timegm((*parts, 0, 0, 0)) - ahead


class SupervisorLog:
    """A log that supervisord keeps; it repeats up to 1024 bytes of it before it follows."""

    def __init__(self, name, stream):
        self.name, self._words = f"{name}, {stream}", [name, stream]

    def read(self, size):
        """The last `size` bytes; None if supervisord keeps no such log."""
        done = subprocess.run([CTL, "tail", f"-{size}", *self._words], stdout=subprocess.PIPE)
        data = done.stdout[:-1]  # it prints a newline of its own
        if data.startswith(NOT_XML):
            warn(f"supervisorctl can't read back in {self.name}, because of colours in it: its end is shown")
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            with subprocess.Popen(self.follow(), **streams) as process:
                data = self.first(b"", process.stdout)
                process.kill()
        return None if data.endswith(b": ERROR (no log file)") and len(data) < 300 else data

    def follow(self):
        return [CTL, "tail", "-f", *self._words]

    def first(self, read, stream):
        """What is new of the first bytes of the stream."""
        data = b""
        while len(data) < len(BANNER) + 1024:
            is_to_come = read and not data
            if not select.select([stream], [], [], STARTED if is_to_come else SETTLED)[0]:
                break
            more = os.read(stream.fileno(), 65536)
            data += more
            if not more:
                break
        data = data[len(BANNER) :] if data.startswith(BANNER) else data
        for size in range(min(len(data), len(read)), 0, -1):
            if read.endswith(data[:size]):
                return data[size:]
        return data


class LogFile:
    """A file; it need not exist yet when it is followed."""

    def __init__(self, path):
        self.name, self._path, self._end = os.path.splitext(os.path.basename(path))[0], path, 0

    def read(self, size):
        try:
            with open(self._path, "rb") as file:
                self._end = file.seek(0, os.SEEK_END)
                file.seek(max(0, self._end - size))
                return file.read(size)
        except FileNotFoundError:
            return b""

    def follow(self):
        return ["tail", "-c", f"+{self._end + 1}", "-F", self._path]

    def first(self, read, stream):
        return b""


class Printer:
    """Prints lines of several logs, with the name of a log where it changes."""

    def __init__(self, last=""):
        self._lock, self._last = threading.Lock(), last

    def print(self, name, lines):
        with self._lock:
            heading = [f"==> {name}"] if name != self._last else []
            self._last = name
            text = "".join(f"{line}\n" for line in [*heading, *lines])
            sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
            sys.stdout.buffer.flush()


def show(log, wanted, printer):
    """Print the wanted lines of a log; return the bytes that were read, None if there is no such log."""
    size = FIRST
    while True:
        data = log.read(size)
        if data is None:
            return None
        is_whole = len(data) < size
        text = decode(data if is_whole else data.partition(b"\n")[2])
        lines, reaches = wanted.choose(text)
        if is_whole or reaches or size >= MOST:
            break
        size *= 8
    printer.print(log.name, lines)
    if not (is_whole or reaches):
        warn(f"only the last {MOST // 1024**2} MiB of {log.name} were read")
    if wanted.since and text and not any(time_of(line) is not None for line in text.splitlines()):
        warn(f"no line of {log.name} has a time: --since leaves nothing out")
    return data


def follow(streams, wanted, printer):
    """Print new lines of the streams of processes, by their names, until all end or nobody reads them."""
    threads = [
        threading.Thread(target=pump, args=(name, first, stream, wanted, printer), daemon=True)
        for name, first, stream in streams
    ]
    for thread in threads:
        thread.start()
    reader = select.poll()
    reader.register(1, 0)
    while any(thread.is_alive() for thread in threads) and not reader.poll(300):
        pass


def pump(name, first, stream, wanted, printer):
    rest = first
    while True:
        *whole, rest = rest.replace(BANNER, b"", 1).split(b"\n")
        lines = [line for line in map(decode, whole) if wanted.grep in line]
        if lines:
            try:
                printer.print(name, lines)
            except OSError:
                return
        more = os.read(stream.fileno(), 65536)
        if not more:
            return
        rest += more


def show_all(logs, wanted):
    """Print the wanted lines of logs; then, to follow them, what comes."""
    printer = Printer()
    read = [(log, show(log, wanted, printer)) for log in logs]
    followed = [(log, data) for log, data in read if data is not None]
    if not followed:
        warn("these processes have no logs")
    if not (wanted.follow and followed):
        return
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(log.follow(), **streams) for log, _ in followed]
    try:
        firsts = [
            (log.name, log.first(data, each.stdout), each.stdout)
            for (log, data), each in zip(followed, running)
        ]
        follow(firsts, wanted, printer)
    finally:
        for each in running:
            each.kill()


def show_journal(command, wanted):
    """Print the wanted lines of a journalctl command; return its exit code.

    journalctl counts the lines, unless it would count lines that `grep` leaves out.
    """
    words = [*command, *([f"--since=@{wanted.since}"] if wanted.since else [])]
    if wanted.follow:
        words += ["-f", "-n", str(wanted.lines or "all")]
    elif wanted.lines and not wanted.grep:
        words += ["-n", str(wanted.lines)]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        if wanted.follow:
            follow([("journal", b"", process.stdout)], wanted, Printer("journal"))
            return process.poll() or 0
        lines = (line for line in process.stdout if wanted.grep in decode(line).rstrip("\n"))
        for line in collections.deque(lines, wanted.lines or None):
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        return process.wait()
    finally:
        process.kill()


def decode(data):
    return data.decode("utf-8", "surrogateescape")


def warn(text):
    print(f"warning: {text}", file=sys.stderr, flush=True)


def of_supervisor(names):
    """The logs of processes."""
    return [SupervisorLog(name, stream) for name in names for stream in ("stdout", "stderr")]


def main(wanted, kind, *words):
    wanted = Wanted(**json.loads(wanted))
    try:
        if kind == "journal":
            sys.exit(show_journal(words, wanted))
        show_all(of_supervisor(words) if kind == "supervisor" else [LogFile(path) for path in words], wanted)
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
