# Make a release of the artifact that an older one was made of, without its environment, links into shared/ and
# venv.
# Needs: old, release, shared, facts, new_facts (the files that say what was unpacked), file (the environment's, in a release).
cp -a "$old/." "$release/" && find "$release" -type d -exec chmod u+w {} + || exit 1
rm -rf "$release/$file" "$release/venv" || exit 1
find "$release" -type l | while read -r link; do
  case $(readlink "$link") in
    "$shared"/*) rm -f "$link" || exit 1 ;;
  esac
done || exit 1
[ ! -f "$facts" ] || cp "$facts" "$new_facts"
