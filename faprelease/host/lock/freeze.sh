# Keep everybody from releasing until someone unlocks: a file, so that it outlives its session and a reboot. A run
# that holds the lock already goes on. Exit 77: frozen before; the line of JSON says by whom and why.
# Needs: lib/guard.sh, state, freeze (for the file), line (for the ledger; both are one line of JSON).
[ -d "$state/releases" ] || mkdir -p "$state/releases" || exit 73
hold_guard "$state" || exit 1
[ ! -f "$state/frozen" ] || { cat "$state/frozen"; exit 77; }
printf '%s\n' "$freeze" >"$state/frozen.new" && mv -f "$state/frozen.new" "$state/frozen" || exit 1
printf '%s\n' "$line" >>"$state/ledger.jsonl"
