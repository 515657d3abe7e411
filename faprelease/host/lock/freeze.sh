# Freeze the stage on this host: nobody can release until it is unfrozen. The freeze is a file, so it survives the
# session and a reboot. A run that already holds the lock continues. Exit 77: it is already frozen; prints by whom and why.
# Needs: lib/guard.sh, state, freeze (for the file), line (for the ledger; both are one line of JSON).
[ -d "$state/releases" ] || mkdir -p "$state/releases" || exit 73
hold_guard "$state" || exit 1
[ ! -f "$state/frozen" ] || { cat "$state/frozen"; exit 77; }
printf '%s\n' "$freeze" >"$state/frozen.new" && mv -f "$state/frozen.new" "$state/frozen" || exit 1
printf '%s\n' "$line" >>"$state/ledger.jsonl"
