# How long a stop and a start took, for `faprelease doctor`.
# Needs: state.
# Gives: now.
# now: sets $now, in hundredths of a second, by a clock that nobody sets.
now() {
  read -r now _ </proc/uptime
  now=${now%.*}${now#*.}
}
# took STOP START: note it, in hundredths of a second.
took() {
  echo "$1 $2" >"$state/restarted"
}
