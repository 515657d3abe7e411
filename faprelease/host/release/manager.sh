# Note who brings this host to what its stage should run.
# Needs: state, manager (one word).
printf '%s\n' "$manager" >"$state/manager.new" && mv -f "$state/manager.new" "$state/manager"
