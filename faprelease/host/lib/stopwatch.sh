# Measures how long a stop and a start take, for `faprelease doctor`.
# Needs: state.
# Gives: now.
# now: sets $now, in hundredths of a second, by a clock that nobody can set.
now() {
  read -r now _ </proc/uptime
  now=${now%.*}${now#*.}
}
# took STOP START: record both, in hundredths of a second.
took() {
  echo "$1 $2" >"$state/restarted"
}
