# Store the key for the digests of configurations. On stdin: the key.
# Needs: state.
umask 077
read -r key && printf '%s\n' "$key" >"$state/key"
