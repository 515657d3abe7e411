# Link shared files and folders into a release, after it was unpacked. On stdin: one relative path a line.
# Needs: release, shared.
set --
while read -r name; do
  [ -e "$shared/$name" ] || { echo "$shared/$name is missing"; exit 1; }
  name=${name%/}
  there=$release/$name
  [ -d "${there%/*}" ] || mkdir -p "${there%/*}" || exit 1
  if [ -e "$there" ] || [ -L "$there" ]; then
    rm -rf "$there" || exit 1
  fi
  ln -s "$shared/$name" "$there" || exit 1
  [ ! -f "$there" ] || set -- "$@" "$there"
done
[ $# = 0 ] || find -L "$@" -perm -004 | while read -r there; do
  file=$shared${there#"$release"}
  echo "warning: everyone on the host can read $file; if it holds secrets: chmod o= $file"
done
