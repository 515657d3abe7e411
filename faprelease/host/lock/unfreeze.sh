# Let releases begin again.
# Needs: lib/guard.sh, lib/process.sh, state, line (one line of JSON, for the ledger),
#   force (yes: the lock of a run goes too; its session is told to end, and publishes nothing any more).
[ -d "$state" ] || exit 0
fap_guard "$state" || exit 1
done=
if [ -f "$state/frozen" ]; then
  cat "$state/frozen"
  rm -f "$state/frozen" || exit 1
  done=yes
fi
if [ -n "$force" ] && [ -f "$state/lock" ]; then
  holder= owner=
  { read -r token; read -r holder; read -r owner; } <"$state/lock"
  process_of "${holder%% *}"
  rm -f "$state/lock" || exit 1
  [ -z "$process" ] || [ "$process" != "${holder#* }" ] || kill -HUP "${holder%% *}"
  echo "broke the lock of $owner"
  done=yes
fi
[ -z "$done" ] || printf '%s\n' "$line" >>"$state/ledger.jsonl"
