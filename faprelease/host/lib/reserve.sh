# keep_reserve FOLDER: keep some room on the disk, blocks and inodes, so that a full disk does not prevent a rollback.
keep_reserve() {
  [ -s "$1/reserve/8" ] || {
    mkdir -p "$1/reserve" || return 0
    for part in 1 2 3 4 5 6 7 8; do
      printf '%65536s' '' >"$1/reserve/$part" || break
    done
  } 2>/dev/null
}
# use_reserve FOLDER: give up that room.
use_reserve() {
  rm -rf "$1/reserve"
}
