# remove_all PATH…: remove files and folders, also read-only ones. Files may be linked from elsewhere, so only the modes of
# folders change.
remove_all() {
  find "$@" -type d ! -perm -200 -exec chmod u+w {} + 2>/dev/null
  rm -rf "$@"
}
