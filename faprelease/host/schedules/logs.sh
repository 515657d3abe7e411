# Print the logs of a release's schedules.
# Needs: state, release, follow (yes: go on as they grow; or empty).
[ -f "$release/.fap/schedules/list" ] || exit 0
set --
while read -r name _; do
  log=$state/schedules/$name.log
  # One that has not run has no log yet, but will have.
  [ ! -f "$log" ] && [ -z "$follow" ] || set -- "$@" "$log"
done <"$release/.fap/schedules/list"
[ $# -gt 0 ] || exit 0
if [ -n "$follow" ]; then
  exec tail -n 100 -F "$@" 2>/dev/null
fi
for log; do
  name=${log##*/}
  echo "==> ${name%.log}"
  tail -n 100 "$log"
done
