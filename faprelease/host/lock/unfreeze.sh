# Allow releases again.
# Needs: lib/guard.sh, lib/lock.sh, lib/process.sh, state, line (one line of JSON, for the ledger),
#   force (yes: also remove the lock of a run; its session gets HUP and can no longer publish).
[ -d "$state" ] || exit 0
hold_guard "$state" || exit 1
done=
if [ -f "$state/frozen" ]; then
  cat "$state/frozen"
  rm -f "$state/frozen" || exit 1
  done=yes
fi
if [ -n "$force" ] && [ -f "$state/lock" ]; then
  read_lock "$state"
  rm -f "$state/lock" || exit 1
  ! is_running "$lock_holder" || kill -HUP "${lock_holder%% *}"
  echo "broke the lock of $lock_owner"
  done=yes
fi
[ -z "$done" ] || printf '%s\n' "$line" >>"$state/ledger.jsonl"
