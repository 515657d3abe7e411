# What a unit logged last, or at least how it ended. Needs: systemd.sh.
said=$(journalctl ${user:+--user} --no-pager -q -n 20 -o cat -u "$unit" 2>/dev/null)
[ -n "$said" ] || said=$(ask status -n 20 "$unit" 2>&1)
echo "$said"
