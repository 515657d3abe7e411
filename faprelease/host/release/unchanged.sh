# Check that a release has not changed since it was sealed; a release that was never sealed passes.
# Needs: lib/tree.sh, lib/list.sh, release.
find_list
[ -f "$list" ] && cd "$release" || exit 0
list_tree "$key" | cmp -s - "$list" || { echo "files of the release changed since it was made: faprelease status --verify"; exit 1; }
