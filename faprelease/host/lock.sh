# Take the release lock of one app folder, or say who holds it and exit 75.
# Needs: state (the .fap folder), token, owner (one line for people).
# The holder is the shell of a session on this host, known by its process id, start time and boot. When
# that process is gone, the lock is stale, and the next session takes it over. A lock with our own token is
# that of our own broken connection.
process_of() {
  read -r stat <"/proc/$1/stat" || return 1
  # the fields after the command's name, which may hold spaces: the 20th is the start time
  set -- "$1" ${stat##*) }
  shift
  printf '%s %s' "${20}" "$(cat /proc/sys/kernel/random/boot_id)"
} 2>/dev/null

mkdir -p "$state/releases" || exit 1
fap_guard "$state" || exit 1
if [ -d "$state/lock" ]; then
  holder= holders_token=
  { read -r holders_token <"$state/lock/token"; } 2>/dev/null
  { read -r holder <"$state/lock/holder"; } 2>/dev/null
  if [ "$holders_token" != "$token" ] && [ -n "$holder" ] && [ "$(process_of "${holder%% *}")" = "${holder#* }" ]; then
    echo "held by $(cat "$state/lock/owner")"
    exit 75
  fi
  [ "$holders_token" = "$token" ] || echo "took over the lock of a session that has ended: $(cat "$state/lock/owner" 2>/dev/null)"
  rm -rf "$state/lock"
fi
mkdir "$state/lock" \
  && printf '%s\n' "$owner" >"$state/lock/owner" \
  && printf '%s %s\n' "$FAP_SESSION" "$(process_of "$FAP_SESSION")" >"$state/lock/holder" \
  && printf '%s\n' "$token" >"$state/lock/token"
