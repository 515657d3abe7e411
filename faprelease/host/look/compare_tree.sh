# Print which files of a release have changed since it was sealed, one per line: `+` before the file as it is now, `-` before
# the file as it was.
# Needs: lib/tree.sh, state, release, id.
[ -f "$state/releases/$id.tree" ] || { echo "no list"; exit 0; }
cd "$release" || exit 1
tab=$(printf '\t')
list_tree | LC_ALL=C comm -3 - "$state/releases/$id.tree" | sed "s/^$tab/- /; t; s/^/+ /"
