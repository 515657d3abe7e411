# Copy the files of an older release's artifact into a new release: without its environment, venv, and links into shared/.
# Needs: old, release, shared, facts, new_facts (the files that describe the artifact),
#   file (of the environment, in a release).
cp -a "$old/." "$release/" && find "$release" -type d -exec chmod u+w {} + || exit 1
rm -rf "$release/$file" "$release/venv" || exit 1
find "$release" -type l | while read -r link; do
  case $(readlink "$link") in
    "$shared"/*) rm -f "$link" || exit 1 ;;
  esac
done || exit 1
[ ! -f "$facts" ] || cp "$facts" "$new_facts"
