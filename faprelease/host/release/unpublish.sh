# The first release of ours failed: `current` names again what it named before (another tool's release), or
# goes away. Safe to run twice.
# Needs: lib/guard.sh, lib/lock.sh, lib/link.sh, state, token, current, before (what `current` said, may be empty).
hold_guard "$state" && holds_lock "$state" "$token" || exit 1
if [ -z "$before" ]; then
  rm -f "$current"
  exit
fi
replace_link "$current" "$before"
