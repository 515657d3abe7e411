"""What people do with SO_REUSEPORT: start the new gunicorn at the port of the old one, wait until its health
check passes, then end the old one. The new one is what `current` names; no process manager knows it."""

import http.client
import time

from tests.parts.fleet import Host

GOOD = 2
"""How many good answers of the health check prove a version."""
START = """\
cd www/slow/current && file=$HOME/$(basename "$(pwd -P)").pid
nohup setsid .fap/run -- gunicorn --reuse-port --bind "127.0.0.1:$1" --workers 2 --threads 16 \\
  --no-control-socket --pid "$file" slow.wsgi:app >>"$HOME/gunicorn.log" 2>&1 </dev/null &
echo $!
"""
KEEP = 'old=$(cat "$HOME/live" 2>/dev/null); echo "$1" >"$HOME/live"; [ -z "$old" ] || kill -TERM "$old"'


def overlap(host: Host, port: int, version: str, limit: float) -> int:
    """Replace the processes of a host; 0, or 4 if the new ones did not pass, and were ended."""
    new = host.run(["sh", "-c", START, "sh", str(port)], check=True).stdout.strip()
    until, good = time.monotonic() + limit, 0
    while good < GOOD:
        good += _healthy(port, version)
        ended = host.run(["kill", "-0", new]).returncode != 0
        if ended or time.monotonic() > until:
            host.run(["kill", "-TERM", new])
            return 4
        time.sleep(0.05)
    host.run(["sh", "-c", KEEP, "sh", new], check=True)
    return 0


def _healthy(port: int, version: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status == 200 and answer.headers["X-Version"] == version
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
