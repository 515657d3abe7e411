# Make a release read-only, and note what is in it.
# Needs: lib/tree.sh, state, release, id.
cd "$release" && list_tree >"$state/releases/$id.tree" || exit 1
# Folders too, so that nothing is added. The links in it go to shared/, which chmod does not follow.
chmod -R a-w . || exit 1
