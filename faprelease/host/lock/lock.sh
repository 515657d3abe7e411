# Take the release lock of an app's folder, or print who holds it and exit 75.
# Exit 73: the state folder can't be made. Exit 78: this very run holds it, under another name of the host. Exit 77: the stage is frozen; the last line, of JSON, says by whom and why.
# Needs: lib/guard.sh, lib/lock.sh, lib/process.sh, lib/reserve.sh, state (the .fap folder), token, owner (one line for people),
#   again (yes: after a broken connection).
# The lock is a file with three lines: token, holder, owner. The holder is the shell of a session on this host, identified
# by its process id, start time and boot. If that process has ended, the lock is stale, and the next session takes it over.
# A lock with our own token is left from our own broken connection. A later freeze does not stop this run, but another run
# in the meantime does.

[ -d "$state/releases" ] || mkdir -p "$state/releases" || exit 73
hold_guard "$state" || exit 1
if [ -n "$again" ]; then
  turn=
  read -r turn <"$state/turn"
  [ "$turn" = "$token" ] || { echo "taken over: another run took the lock in the meantime"; exit 75; }
fi
read_lock "$state"
given_up=
if is_running "$lock_holder"; then
  [ "$lock_token" = "$token" ] || {
    [ "${lock_token%%.*}" != "${token%%.*}" ] || { echo "${lock_token#*.}"; exit 78; }
    echo "held by $lock_owner"
    exit 75
  }
  [ "${lock_holder%% *}" = "$FAP_SESSION" ] || given_up=${lock_holder%% *}
fi
if [ "$lock_token" != "$token" ]; then
  [ -n "$again" ] || [ ! -f "$state/frozen" ] || { cat "$state/frozen"; exit 77; }
  if [ -f "$state/lock" ]; then
    echo "warning: took over the lock of a session that has ended: $lock_owner"
    printf '{"at":"%s","event":"took over the lock","from":"%s","who":"%s"}\n' \
      "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$lock_owner" "$owner" >>"$state/ledger.jsonl"
  fi
fi
process_of "$FAP_SESSION"
write_lock() {
  printf '%16384s' '' >"$state/room" \
    && : >"$state/room" \
    && printf '%s\n' "$token" "$FAP_SESSION $process" "$owner" >"$state/lock" \
    && echo "$token" >"$state/turn"
}
# On a full disk, the kept room is enough for a rollback.
write_lock 2>/dev/null || { use_reserve "$state"; said=$(write_lock 2>&1); } || {
  rm -f "$state/lock"
  echo "the disk is full, or has no inodes left, at $state: free some space there (df -h; df -i)"
  echo "$said"
  exit 1
}
# Our lost session may still be running. On HUP it ends after its current step; it may have ended already.
[ -z "$given_up" ] || kill -HUP "$given_up" 2>/dev/null || true
