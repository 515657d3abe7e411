# Undo the first release: `current` names what it named before (another tool's release), or is removed. Safe to run twice.
# Needs: lib/guard.sh, lib/lock.sh, lib/link.sh, state, token, current, before (the old target of `current`, may be empty).
hold_guard "$state" && holds_lock "$state" "$token" || exit 1
if [ -z "$before" ]; then
  rm -f "$current"
  exit
fi
replace_link "$current" "$before"
