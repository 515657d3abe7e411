"""Packs the orders that the web process placed.

Usage:
  shop.worker [--once] [--pause=SECONDS]

Options:
  --once           Pack what waits, then exit.
  --pause=SECONDS  How long to wait when nothing is left to pack [default: 1].
"""

import signal
import sys
import time

from docopt import docopt

from shop import orders, release, settings


def main() -> None:
    # An order is moved by rename, so this process may stop at any moment.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    arguments = docopt(__doc__)
    shop = settings.load()
    print(f"worker {release.running().version} packs orders from {shop.orders}", flush=True)
    while True:
        order_id = orders.pack_next(shop.orders)
        if order_id:
            print(f"packed {order_id}", flush=True)
        elif arguments["--once"]:
            return
        else:
            time.sleep(float(arguments["--pause"]))


if __name__ == "__main__":
    main()
