# Which files of the live release changed since it was sealed, as look/compare_tree.sh says it, which follows.
# Needs: current.
# Gives: release, id.
release=$(cd -P "$current" 2>/dev/null && pwd) || exit 0
id=${release##*/}
