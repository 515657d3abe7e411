# Take the release lock of one app folder, or say who holds it and exit 75.
# Exit 73: the state folder can't be made.
# Needs: state (the .fap folder), token, owner (one line for people).
# The holder is the shell of a session on this host, known by its process id, start time and boot. When
# that process is gone, the lock is stale, and the next session takes it over. A lock with our own token is
# that of our own broken connection.

[ -d "$state/releases" ] || mkdir -p "$state/releases" || exit 73
fap_guard "$state" || exit 1
if [ -d "$state/lock" ]; then
  holder= holders_token=
  { read -r holders_token <"$state/lock/token"; read -r holder <"$state/lock/holder"; } 2>/dev/null
  process_of "${holder%% *}"
  if [ "$holders_token" != "$token" ] && [ -n "$process" ] && [ "$process" = "${holder#* }" ]; then
    echo "held by $(cat "$state/lock/owner")"
    exit 75
  fi
  [ "$holders_token" = "$token" ] \
    || echo "took over the lock of a session that has ended: $(cat "$state/lock/owner" 2>/dev/null)"
  rm -rf "$state/lock"
fi
process_of "$FAP_SESSION"
mkdir "$state/lock" \
  && echo "$owner" >"$state/lock/owner" \
  && echo "$FAP_SESSION $process" >"$state/lock/holder" \
  && echo "$token" >"$state/lock/token"
