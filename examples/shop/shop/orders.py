"""Orders on their way from the web process to the worker: one file each, moved by rename.

    new/<id>.json    placed by web
    done/<id>.json   packed by the worker, with the sum it computed

A process killed at any moment leaves every order in `new` or in `done`, whole.
"""

import json
import os
import secrets
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from shop.cart import Line

_DAY = 24 * 60 * 60


def place(folder: Path, cart: list[Line], now: float) -> str:
    """Store an order, placed at `now` (seconds since 1970); return its id."""
    order_id = f"{int(now)}-{secrets.token_hex(4)}"
    items = [
        {"product": line.product.id, "quantity": line.quantity, "price": str(line.product.price)}
        for line in cart
    ]
    _write(folder / "new" / f"{order_id}.json", {"id": order_id, "placed": int(now), "items": items})
    return order_id


def pack_next(folder: Path) -> str | None:
    """Sum up the oldest waiting order and move it to `done`; return its id, or None if nothing waits."""
    waiting = min(_files(folder / "new"), default=None)
    if waiting is None:
        return None
    order = json.loads(waiting.read_bytes())
    order["total"] = str(sum((Decimal(i["price"]) * i["quantity"] for i in order["items"]), Decimal(0)))
    _write(folder / "done" / waiting.name, order)
    waiting.unlink(missing_ok=True)
    return str(order["id"])


def forget_old(folder: Path, days: int, now: float) -> int:
    """Remove the packed orders placed more than `days` before `now`; return how many."""
    old = [path for path in _files(folder / "done") if int(path.name.split("-")[0]) < now - days * _DAY]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _files(folder: Path) -> Iterator[Path]:
    return folder.glob("[0-9]*-*.json")


def _write(path: Path, order: object) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(order, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
