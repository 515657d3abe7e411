# Record which deployment the folder belongs to. On stdin: a line of JSON.
# Needs: state.
cat >"$state/owner.new" && mv -f "$state/owner.new" "$state/owner" || exit 1
