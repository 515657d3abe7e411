# list_tree KEY: print every file of the working folder with its sha256, and every link with its target, sorted. A short secret
# could be guessed from its digest, so the digest of a file that only its owner may read is that of the file KEY and itself.
# Without a KEY these files are left out, as in lists from before there was one.
list_tree() {
  private='[ -s "$0" ] || exit 0
    for file; do
      digest=$(cat -- "$0" "$file" | sha256sum)
      printf "%s  %s\n" "${digest%% *}" "$file"
    done'
  links='for link; do printf "%s -> %s\n" "$link" "$(readlink "$link")"; done'
  {
    # Only GNU's find has -printf.
    find . -type f \( -perm -040 -exec sha256sum {} + -o -exec sh -c "$private" "$1" {} + \) \
      -o -type l -printf '%p -> %l\n' 2>/dev/null ||
      find . -type f \( -perm -040 -exec sha256sum {} + -o -exec sh -c "$private" "$1" {} + \) \
        -o -type l -exec sh -c "$links" sh {} +
  } | LC_ALL=C sort -u
}
# show_changes LIST: compare the lines on stdin with those of the file LIST: `+` before a line as it is now, `-` before one as
# it was.
show_changes() {
  LC_ALL=C comm -3 - "$1" | sed "s/^$(printf '\t')/- /; t; s/^/+ /"
}
