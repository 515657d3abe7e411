"""Forgets packed orders when they are older than the shop wants to keep them.

Usage:
  shop.cron [--once] [--every=SECONDS]

Options:
  --once           Do it now, then exit.
  --every=SECONDS  How long to wait between two rounds [default: 3600].
"""

import signal
import sys
import time

from docopt import docopt

from shop import orders, release, settings


def main() -> None:
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    arguments = docopt(__doc__)
    shop = settings.load()
    print(f"cron {release.running().version} keeps orders for {shop.keep_orders_days} days", flush=True)
    while True:
        forgotten = orders.forget_old(shop.orders, shop.keep_orders_days, time.time())
        print(f"forgot {forgotten} old orders", flush=True)
        if arguments["--once"]:
            return
        time.sleep(float(arguments["--every"]))


if __name__ == "__main__":
    main()
