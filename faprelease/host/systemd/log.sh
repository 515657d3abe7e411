# What a release's units logged last, or at least how they ended. Needs: lib/systemd.sh, release.
units_of "$release"
set -- $services
shown=0
while [ $# -gt 0 ] && [ "$shown" -lt 3 ]; do
  said=$(journalctl ${user:+--user} --no-pager -q -n 20 -o cat -u "$1" 2>/dev/null)
  [ -n "$said" ] || said=$(ask status -n 20 "$1" 2>&1)
  printf '%s:\n%s\n' "$1" "$said"
  shown=$((shown + 1))
  shift
done
