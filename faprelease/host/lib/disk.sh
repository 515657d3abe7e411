# nearest_folder PATH: sets $nearest to PATH, or to the nearest folder above it that is there.
# Gives: nearest, free.
nearest_folder() {
  nearest=$1
  while [ ! -d "$nearest" ]; do
    nearest=${nearest%/*}
    nearest=${nearest:-/}
  done
}
# free_at PATH UNIT: sets $free to how much is free there, in KiB (UNIT is k) or inodes (i); empty where df does not say it.
free_at() {
  free=$(df "-P$2" "$1" 2>/dev/null)
  # The second line counts. The name of the device may hold spaces: what is free is the second last word before the
  # per cent sign.
  free=${free#*
}
  case $free in
    *" "*%*)
      set -f
      set -- ${free%%%*}
      set +f
      shift $(($# - 2))
      free=$1
      ;;
    *) free= ;;
  esac
}
