# Make a release read-only, and record its files.
# Needs: lib/tree.sh, state, release, id.
cd "$release" && list_tree "$state/key" >"$state/releases/$id.files" || exit 1
# Folders too, so that nothing can be added. chmod does not follow the links into shared/.
chmod -R a-w . || exit 1
