# Copy linked files and folders from a folder of this host into shared/. Nothing is removed there.
# On stdin: their names, one per line.
# Needs: source, shared, act (add: files that are missing; copy: also files that differ; compare: only report them).
cd "$source" || exit 1
while read -r name; do
  name=${name%/}
  [ -e "$name" ] || [ -e "$shared/$name" ] || { echo "$source/$name is missing"; exit 1; }
  [ -e "$name" ] || continue
  find -L "$name" -type f | while read -r file; do
    target=$shared/$file
    ! cmp -s "$file" "$target" || continue
    case $act in
      add) [ ! -e "$target" ] || continue ;;
      compare) echo "$target differs from $source/$file"; exit 1 ;;
    esac
    # Others may not read it, whatever the mode of the source.
    umask 007
    mkdir -p "${target%/*}" && rm -f "$target.new" && cp "$file" "$target.new" && mv -f "$target.new" "$target" || exit 1
    echo "$file"
  done || exit 1
done
