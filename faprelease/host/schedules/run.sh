# Run one schedule of a release now: sh .fap/schedules/run NAME [log]; with log, its output goes to its log. A run begins
# only after the last one has ended; what a run leaves behind counts as the run. Its exit code is that of the command.
# Needs: lib/process.sh, lib/in_release.sh, state, release (its folder).
name=$1 folder=$state/schedules command=
while read -r each _ _ _ _ _ _ text; do
  [ "$each" != "$name" ] || command=$text
done <"$release/.fap/schedules/list"
if [ -z "$command" ]; then
  echo "release ${release##*/} has no schedule $name; it has:" $(cut -d " " -f 1 "$release/.fap/schedules/list")
  exit 66
fi
# note WORD…: record how the run goes; the record is always complete.
note() {
  { (umask 077; echo "$*" >"$folder/$name.run.new") && mv -f "$folder/$name.run.new" "$folder/$name.run"; } \
    || echo "warning: can't write $folder/$name.run"
}
clock() {
  date -u +%Y-%m-%dT%H:%M:%SZ
}
(umask 077; : >>"$folder/$name.lock") && exec 7>>"$folder/$name.lock" || exit 1
alone=yes
if command -v flock >/dev/null; then
  flock -n 7
else
  python3 -I -S -c 'import fcntl; fcntl.flock(7, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null
fi || alone=
if [ -n "$2" ]; then
  log=$folder/$name.log
  # An older part is kept, so a log takes up to twice 1 MiB, and the output of one run.
  [ -z "$alone" ] || [ -z "$(find "$log" -size +2048 2>/dev/null)" ] || mv -f "$log" "$log.1"
  (umask 077; : >>"$log") && exec >>"$log" 2>&1 || exit 1
fi
started=$(clock)
if [ -z "$alone" ]; then
  echo "== $started $name does not begin: its last run still goes on"
  exit 75
fi
process_of $$
note "$started - - ${release##*/} $$ $process"
[ -z "$2" ] || echo "== $started $name of release ${release##*/}"
# A signal ends the command; then its exit code is recorded.
trap : HUP INT TERM
in_release "$command"
code=$?
ended=$(clock)
note "$started $ended $code ${release##*/}"
[ -z "$2" ] || echo "== $ended exit code $code"
exit "$code"
