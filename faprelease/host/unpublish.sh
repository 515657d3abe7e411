# The first release of ours failed: `current` names again what it named before (another tool's release), or
# goes away. Safe to run twice. Needs: state, token, current, before (what `current` said, may be empty).
fap_guard "$state" && fap_is_ours "$state" "$token" || exit 1
if [ -z "$before" ]; then
  rm -f "$current"
  exit
fi
ln -sfn "$before" "$current.new" || exit 1
mv -fT "$current.new" "$current" 2>/dev/null \
  || python3 -I -S -c 'import os, sys; os.replace(*sys.argv[1:])' "$current.new" "$current"
