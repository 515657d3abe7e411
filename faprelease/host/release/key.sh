# Keep the key under which digests of configurations are made. Needs: state. On stdin: the key.
umask 077
read -r key && printf '%s\n' "$key" >"$state/key"
