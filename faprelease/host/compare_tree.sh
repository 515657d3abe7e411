# Say which files of a release are not what they were when it was sealed. Needs: tree.sh, state, release, id.
[ -f "$state/releases/$id.tree" ] || { echo "no list"; exit 0; }
cd "$release" || exit 1
fap_differences "$state/releases/$id.tree"
