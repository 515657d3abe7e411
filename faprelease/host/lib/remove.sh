# remove_all PATH…: remove files and folders, which may be read-only. A file may have another name elsewhere, so only the
# modes of folders change.
remove_all() {
  find "$@" -type d ! -perm -200 -exec chmod u+w {} + 2>/dev/null
  rm -rf "$@"
}
