# hold_guard FOLDER: hold FOLDER/guard until this script ends. Every script that locks, unlocks or swaps holds it, so that no
# other one comes between its check and its change. busybox may have no flock; then Python locks the open file, which this
# shell keeps.
hold_guard() {
  exec 9>>"$1/guard" || return 1
  flock -w 20 9 2>/dev/null \
    || python3 -I -S -c 'import fcntl, signal; signal.alarm(20); fcntl.flock(9, fcntl.LOCK_EX)' 2>/dev/null \
    || { echo "can't hold $1/guard: this host needs flock (util-linux) or python3"; return 1; }
}
