# Link shared files and folders into a release that was unpacked. On stdin: relative paths, one per line.
# Needs: lib/release_path.sh, release, shared.
set --
while read -r name; do
  [ -e "$shared/$name" ] || { echo "$shared/$name is missing"; exit 1; }
  name=${name%/}
  refuse_links "$release" "$name" || exit 1
  link=$release/$name
  [ -d "${link%/*}" ] || mkdir -p "${link%/*}" || exit 1
  if [ -e "$link" ] || [ -L "$link" ]; then
    rm -rf "$link" || exit 1
  fi
  ln -s "$shared/$name" "$link" || exit 1
  [ ! -f "$link" ] || set -- "$@" "$link"
done
[ $# = 0 ] || find -L "$@" -perm -004 | while read -r link; do
  file=$shared${link#"$release"}
  echo "warning: everyone on the host can read $file; if it holds secrets: chmod o= $file"
done
