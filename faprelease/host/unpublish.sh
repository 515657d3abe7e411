# The first release of an app failed: there is no older one, so `current` goes away with it.
# Needs: state, token, current.
fap_guard "$state" && fap_is_ours "$state" "$token" || exit 1
rm -f "$current"
