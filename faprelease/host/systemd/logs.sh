# Print what a release's units logged, and with follow (yes or empty) go on. Needs: lib/systemd.sh, release.
units_of "$release"
set --
for service in $services; do
  set -- "$@" -u "$service"
done
[ $# -gt 0 ] || exit 0
exec journalctl ${user:+--user} --no-pager -q -n 100 "$@" ${follow:+-f}
