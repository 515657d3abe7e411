# Print the end of the ledger.
# Needs: state, lines.
[ ! -f "$state/ledger.jsonl" ] || tail -n "$lines" "$state/ledger.jsonl"
