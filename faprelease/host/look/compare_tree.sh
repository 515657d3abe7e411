# Say which files of a release are not what they were when it was sealed: one a line, `+` before what is there now and `-`
# before what was.
# Needs: lib/tree.sh, state, release, id.
[ -f "$state/releases/$id.tree" ] || { echo "no list"; exit 0; }
cd "$release" || exit 1
tab=$(printf '\t')
list_tree | LC_ALL=C comm -3 - "$state/releases/$id.tree" | sed "s/^$tab/- /; t; s/^/+ /"
