# nearest_folder PATH: sets $nearest to PATH, or to the nearest existing folder above it.
# Gives: nearest, free.
nearest_folder() {
  nearest=$1
  while [ ! -d "$nearest" ]; do
    nearest=${nearest%/*}
    nearest=${nearest:-/}
  done
}
# free_at PATH UNIT: sets $free to the free space there, in KiB (UNIT k) or inodes (UNIT i); empty if df does not report it.
free_at() {
  free=$(df "-P$2" "$1" 2>/dev/null)
  # On the second line. The name of the device may contain spaces; the free space is the second last word before the
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
