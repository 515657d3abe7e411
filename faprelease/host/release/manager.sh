# Record who manages this host, a controller or the host itself.
# Needs: state, manager (one word).
printf '%s\n' "$manager" >"$state/manager.new" && mv -f "$state/manager.new" "$state/manager"
