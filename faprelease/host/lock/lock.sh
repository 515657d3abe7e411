# Take the release lock of one app folder, or say who holds it and exit 75.
# Exit 73: the state folder can't be made. Exit 77: frozen; the last line of JSON says by whom and why.
# Needs: lib/guard.sh, lib/lock.sh, lib/process.sh, state (the .fap folder), token, owner (one line for people),
#   again (yes: after a broken connection).
# The lock is a file of three lines: token, holder, owner. The holder is the shell of a session on this host, known by
# its process id, start time and boot. When that process is gone, the lock is stale, and the next session takes it over.
# A lock with our own token is that of our own broken connection, and a freeze that came later does not stop a run; but
# another run that had its turn meanwhile does.

[ -d "$state/releases" ] || mkdir -p "$state/releases" || exit 73
hold_guard "$state" || exit 1
if [ -n "$again" ]; then
  turn=
  read -r turn <"$state/turn"
  [ "$turn" = "$token" ] || { echo "taken over: another run came in between"; exit 75; }
fi
read_lock "$state"
given_up=
if is_running "$lock_holder"; then
  [ "$lock_token" = "$token" ] || { echo "held by $lock_owner"; exit 75; }
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
printf '%s\n' "$token" "$FAP_SESSION $process" "$owner" >"$state/lock" \
  && echo "$token" >"$state/turn" \
  || { rm -f "$state/lock"; exit 1; }
# Our session that was given up may go on by itself. Told so, it ends with the step that it is at; it may have ended
# already.
[ -z "$given_up" ] || kill -HUP "$given_up" 2>/dev/null || true
