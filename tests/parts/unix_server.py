"""A small web server at a unix socket: SOCKET|PORT VERSION [STATUS|die SECONDS|hang]. Sent to hosts."""

import http.server
import pathlib
import signal
import socket
import socketserver
import sys
import threading
import time

place, version, *rest = sys.argv[1:]
status = int(rest[0]) if rest and rest[0].isdigit() else 200


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    allow_reuse_address = True
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
if place.isdigit():
    Server.address_family = socket.AF_INET
server = Server(("127.0.0.1", int(place)) if place.isdigit() else place, Handler)
if rest[:1] == ["hang"]:
    time.sleep(1000)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print(f"version {version} answers", flush=True)
server.serve_forever()
server.server_close()
pathlib.Path(place).unlink(missing_ok=True)
