# Have the new release check that it could run here: its database, its caches, its configuration. Nothing is published yet.
# Needs: lib/in_release.sh, command.
in_release "$command"
