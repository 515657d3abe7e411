# Link shared files and folders into a release, after it was unpacked.
# Needs: release, shared. On stdin: one relative path a line.
while read -r name; do
  [ -e "$shared/$name" ] || { echo "$shared/$name is missing"; exit 1; }
  parent=$release/$name
  mkdir -p "${parent%/*}" || exit 1
  rm -rf "${release:?}/$name" && ln -s "$shared/$name" "$release/$name" || exit 1
done
