# Print which files of a release have changed since it was sealed, one per line: `+` before the file as it is now, `-` before
# the file as it was.
# Needs: lib/tree.sh, state, release, id.
[ -f "$state/releases/$id.tree" ] || { echo "no list"; exit 0; }
cd "$release" || exit 1
list_tree | show_changes "$state/releases/$id.tree"
# Releases that an earlier version has sealed have no such list.
[ ! -f "$state/releases/$id.private" ] || list_private "$state/key" | show_changes "$state/releases/$id.private"
