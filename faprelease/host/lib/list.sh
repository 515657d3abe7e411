# find_list: sets $list to the list of a release's files that was made when it was sealed, and $key to the KEY it was made with.
# Needs: state, id.
# Gives: list, key.
find_list() {
  list=$state/releases/$id.files key=$state/key
  [ -f "$list" ] || { list=$state/releases/$id.tree key=; }
}
