# Make the folder of a new release, and the shared folders it will link to. On stdin: linked folders, one per line.
# Needs: release, current, shared, shared_writable (yes or empty).
if [ ! -d "$shared" ]; then
  mkdir -p "${release%/*}" "$shared" || exit 1
  [ -z "$shared_writable" ] || chmod g+w "$shared" || exit 1
fi
[ -d "${release%/*}" ] || mkdir -p "${release%/*}" || exit 1
[ -d "${current%/*}/" ] || mkdir -p "${current%/*}" || exit 1
mkdir "$release" || { echo "$release exists already, and a release folder is never reused"; exit 1; }
while read -r folder; do
  [ -d "$shared/$folder" ] || mkdir -p "$shared/$folder" || exit 1
done
