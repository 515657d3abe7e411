# Keep the key under which digests of configurations are made. On stdin: the key.
# Needs: state.
umask 077
read -r key && printf '%s\n' "$key" >"$state/key"
