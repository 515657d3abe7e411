# Ask the new release whether it could run here: its database, its caches, its configuration. Nothing has been published yet.
# Needs: lib/in_release.sh, command.
in_release "$command"
