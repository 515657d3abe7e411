"""A small server with worker processes, as an app has it: `prefork.py PORT`, Python's standard library only.

It does what gunicorn does (arbiter.py): the main process keeps its interpreter and its packages. On HUP it
changes to `current`, starts a new worker, and ends the old one. If a worker can't import the app, all ends;
with KEEP=1, another worker is started instead, as uvicorn does it.
"""

import http.server
import os
import signal
import socket
import sys
import time
from pathlib import Path

PACKAGES = Path(sys.executable).parent.parent / "packages"
CURRENT = os.environ.get("CURRENT", ".")


def serve(listener: socket.socket) -> None:
    sys.path[:0] = [str(Path.cwd()), str(PACKAGES)]
    import app
    import dep

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = f"{app.VERSION} {dep.VERSION} {os.environ.get('SAID', '')}".strip().encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.HTTPServer(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket = listener
    server.serve_forever()


def start(listener: socket.socket) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            serve(listener)
        except Exception as error:
            print(f"worker failed: {error!r}", flush=True)
            os._exit(3)
    return pid


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    worker, asked = start(listener), []
    signal.signal(signal.SIGHUP, lambda *_: asked.append("HUP"))
    signal.signal(signal.SIGTERM, lambda *_: asked.append("TERM"))
    while True:
        time.sleep(0.05)
        pid, status = os.waitpid(-1, os.WNOHANG)
        if "TERM" in asked:
            if pid != worker:
                os.kill(worker, signal.SIGKILL)
            sys.exit()
        if pid == worker and os.environ.get("KEEP"):
            worker = start(listener)
        elif pid == worker and status:
            sys.exit("a worker failed to boot")
        elif asked:
            asked.clear()
            os.chdir(CURRENT)
            new = start(listener)
            os.kill(worker, signal.SIGKILL)
            worker = new


if __name__ == "__main__":
    main()
