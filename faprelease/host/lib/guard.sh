# fap_guard FOLDER: hold FOLDER/guard until this script ends. Whoever locks, unlocks or swaps holds it,
# so that looking and acting are one. busybox has no flock, so Python's is asked next: the lock belongs to
# the open file, which this shell keeps.
fap_guard() {
  exec 9>>"$1/guard" || return 1
  flock -w 20 9 2>/dev/null \
    || python3 -I -S -c 'import fcntl, signal; signal.alarm(20); fcntl.flock(9, fcntl.LOCK_EX)' 2>/dev/null \
    || { echo "can't hold $1/guard: this host needs flock (util-linux) or python3"; return 1; }
}
# fap_is_ours FOLDER TOKEN: the lock is held, and by this session. A session that was given up as lost may go
# on by itself later; by then its successor, with the same token, holds the lock.
fap_is_ours() {
  fap_owner= fap_holder=
  { { read -r fap_owner && read -r fap_holder; } <"$1/lock"; } 2>/dev/null
  [ "$fap_owner ${fap_holder%% *}" = "$2 $FAP_SESSION" ] || { echo "the lock in $1/lock is not ours any more: someone took it over"; return 1; }
}
