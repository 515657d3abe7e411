# Print what a unit logged, and with follow (yes or empty) go on. Needs: systemd.sh.
exec journalctl ${user:+--user} --no-pager -q -n 100 -u "$unit" ${follow:+-f}
