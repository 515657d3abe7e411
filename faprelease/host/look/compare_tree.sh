# Print which files of a release have changed since it was sealed, one per line: `+` before the file as it is now, `-` before
# the file as it was.
# Needs: lib/tree.sh, lib/list.sh, release.
find_list
[ -f "$list" ] || { echo "no list"; exit 0; }
cd "$release" || exit 1
list_tree "$key" | show_changes "$list"
