# Make the folder of a new release, and the shared folders it will link to. On stdin: linked folders, one per line.
# Needs: lib/reserve.sh, state, release, current, shared, shared_writable (yes or empty).
keep_reserve "$state"
[ -d "${release%/*}" ] || mkdir -p "${release%/*}" || exit 1
[ -d "${current%/*}/" ] || mkdir -p "${current%/*}" || exit 1
mkdir "$release" || { echo "$release exists already, and a release folder is never reused"; exit 1; }
(
  [ -z "$shared_writable" ] || umask 002
  [ -d "$shared" ] || mkdir -p "$shared" || exit 1
  while read -r folder; do
    folder=$shared/${folder%/}
    [ ! -L "$folder" ] || [ -e "$folder" ] || { echo "$folder links to $(readlink "$folder"), which is missing"; exit 1; }
    [ -d "$folder" ] || mkdir -p "$folder" || exit 1
  done
) || exit 1
