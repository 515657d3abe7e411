"""A small web server at a unix socket: unix_server.py SOCKET VERSION [STATUS|die SECONDS]. Sent to hosts."""

import http.server
import pathlib
import signal
import socketserver
import sys
import threading
import time

place, version, *rest = sys.argv[1:]
status = int(rest[0]) if rest and rest[0].isdigit() else 200


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False
    request_queue_size = 100


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(float(self.path[5:]))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(version.encode())

    def address_string(self):
        return "unix"


if rest[:1] == ["die"]:
    time.sleep(float(rest[1]))
    raise RuntimeError(f"version {version} does not start")
server = Server(place, Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print(f"version {version} answers", flush=True)
server.serve_forever()
server.server_close()
pathlib.Path(place).unlink(missing_ok=True)
