# Publish: have `current` name another release, at once. Safe to run twice.
# Needs: lib/guard.sh, lib/lock.sh, lib/link.sh, state, token, current, release,
#   target (path of the release as seen from the folder of current), rollout (its record, one line of JSON; empty in an undo).
hold_guard "$state" && holds_lock "$state" "$token" || exit 1
[ -d "$release" ] || { echo "$release is missing"; exit 1; }
[ ! -e "$current" ] || [ -L "$current" ] || { echo "$current is not a link: move it away first"; exit 1; }
if [ -n "$rollout" ]; then
  umask 077
  printf '%s\n' "$rollout" >"$state/rollout.jsonl" || exit 1
fi
replace_link "$current" "$target" || exit 1
[ "$current" -ef "$release" ] || { echo "$current does not name $target"; exit 1; }
