# The first release of ours failed: `current` names again what it named before (another tool's release), or
# goes away. Safe to run twice.
# Needs: lib/guard.sh, lib/point.sh, state, token, current, before (what `current` said, may be empty).
fap_guard "$state" && fap_is_ours "$state" "$token" || exit 1
if [ -z "$before" ]; then
  rm -f "$current"
  exit
fi
fap_point "$current" "$before"
