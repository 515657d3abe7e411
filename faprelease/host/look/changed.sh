# Prepare look/compare_tree.sh, which comes next, for the live release.
# Needs: current.
# Gives: release, id.
release=$(cd -P "$current" 2>/dev/null && pwd) || exit 0
id=${release##*/}
