# Bring linked files and folders from a folder of this host into shared/. Nothing is ever removed there.
# On stdin: one name a line.
# Needs: source, shared, act (add: what shared/ lacks; copy: what differs too; compare: only say what differs).
cd "$source" || exit 1
while read -r name; do
  name=${name%/}
  [ -e "$name" ] || [ -e "$shared/$name" ] || { echo "$source/$name is missing"; exit 1; }
  [ -e "$name" ] || continue
  find -L "$name" -type f | while read -r file; do
    there=$shared/$file
    ! cmp -s "$file" "$there" || continue
    case $act in
      add) [ ! -e "$there" ] || continue ;;
      compare) echo "$there is not what $source/$file is"; exit 1 ;;
    esac
    # Not for the eyes of others, whatever the modes of the source.
    umask 007
    mkdir -p "${there%/*}" && rm -f "$there.new" && cp "$file" "$there.new" && mv -f "$there.new" "$there" || exit 1
    echo "$file"
  done || exit 1
done
