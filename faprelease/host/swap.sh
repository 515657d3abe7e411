# Publish: `current` names another release from one moment to the next. Safe to run twice.
# Needs: state, token, current, target (a path as seen from the folder of current), release.
fap_guard "$state" && fap_is_ours "$state" "$token" || exit 1
[ -d "$release" ] || { echo "$release is missing"; exit 1; }
[ ! -e "$current" ] || [ -L "$current" ] || { echo "$current is not a link: move it away first"; exit 1; }
ln -sfn "$target" "$current.new" || exit 1
mv -fT "$current.new" "$current" 2>/dev/null \
  || python3 -I -S -c 'import os, sys; os.replace(*sys.argv[1:])' "$current.new" "$current" || exit 1
[ "$current" -ef "$release" ] || { echo "$current does not name $target"; exit 1; }
