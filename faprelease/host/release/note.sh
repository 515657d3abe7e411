# Add a line to the record of the rollout that release/swap.sh started on this host.
# Needs: state, note (one line of JSON).
umask 077
printf '\n%s\n' "$note" >>"$state/rollout.jsonl" || exit 1
umask 022
