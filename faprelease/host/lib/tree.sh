# list_tree: print every file of the working folder with its sha256, and every link with its target, sorted. Files that only
# their owner may read are left out, as a short secret could be guessed from its digest.
list_tree() {
  {
    find . -type f -perm -040 -exec sha256sum {} +
    # Only GNU's find has -printf.
    find . -type l -printf '%p -> %l\n' 2>/dev/null ||
      find . -type l -exec sh -c 'for link; do printf "%s -> %s\n" "$link" "$(readlink "$link")"; done' sh {} +
  } | LC_ALL=C sort -u
}
# list_private KEY: print the files that list_tree leaves out, each with the sha256 of the file KEY and itself, sorted: without
# the key nothing can be guessed from that.
list_private() {
  find . -type f ! -perm -040 -exec sh -c '
    for file; do
      digest=$(cat -- "$0" "$file" | sha256sum)
      printf "%s  %s\n" "${digest%% *}" "$file"
    done' "$1" {} + | LC_ALL=C sort -u
}
# show_changes LIST: compare the lines on stdin with those of the file LIST: `+` before a line as it is now, `-` before one as
# it was.
show_changes() {
  LC_ALL=C comm -3 - "$1" | sed "s/^$(printf '\t')/- /; t; s/^/+ /"
}
