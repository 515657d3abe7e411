# read_lock FOLDER: sets $lock_token, $lock_holder (the session, for is_running) and $lock_owner (for people); they are empty
# if FOLDER has no lock.
# Gives: lock_token, lock_holder, lock_owner.
read_lock() {
  lock_token= lock_holder= lock_owner=
  { { read -r lock_token && read -r lock_holder && read -r lock_owner; } <"$1/lock"; } 2>/dev/null
}
# holds_lock FOLDER TOKEN: this session has the lock. A session that was given up as lost may continue later; by then its
# successor, with the same token, has the lock.
holds_lock() {
  read_lock "$1"
  [ "$lock_token ${lock_holder%% *}" = "$2 $FAP_SESSION" ] \
    || { echo "the lock in $1/lock is no longer ours: someone took it over"; return 1; }
}
