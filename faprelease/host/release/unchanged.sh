# See that a release is what it was when it was sealed; one that never was is taken as it is.
# Needs: lib/tree.sh, release, state, id.
list=$state/releases/$id.tree
[ -f "$list" ] && cd "$release" || exit 0
list_tree | cmp -s - "$list" || { echo "files of it changed since it was made: faprelease status --verify"; exit 1; }
