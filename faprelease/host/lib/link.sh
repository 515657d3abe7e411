# replace_link LINK TARGET: have LINK name TARGET, at once, by a rename. A link that an interrupted run left is overwritten.
# busybox and GNU know `mv -T`; elsewhere Python renames.
replace_link() {
  [ ! -d "$1.new" ] || [ -L "$1.new" ] || { echo "$1.new is a folder: move it away"; return 1; }
  ln -sfn "$2" "$1.new" || return 1
  mv -fT "$1.new" "$1" 2>/dev/null \
    || python3 -I -S -c 'import os, sys; os.replace(*sys.argv[1:])' "$1.new" "$1"
}
