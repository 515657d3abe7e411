# Print the logs of a release's schedules.
# Needs: state, release, follow (yes: go on as they grow; or empty), reader (the text of programs/loglines.py),
#   wanted (what it is to print, as JSON).
[ -f "$release/.fap/schedules/list" ] || exit 0
set --
while read -r name _; do
  log=$state/schedules/$name.log
  # One that has not run has no log yet, but will have.
  [ ! -f "$log" ] && [ -z "$follow" ] || set -- "$@" "$log"
done <"$release/.fap/schedules/list"
[ $# -gt 0 ] || exit 0
exec python3 -I -S -c "$reader" "$wanted" files "$@"
