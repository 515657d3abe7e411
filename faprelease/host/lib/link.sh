# replace_link LINK TARGET: LINK names TARGET from one moment to the next, by a rename; what an earlier run left half done
# is replaced. busybox and GNU know `mv -T`; Python renames where mv does not.
replace_link() {
  ln -sfn "$2" "$1.new" || return 1
  mv -fT "$1.new" "$1" 2>/dev/null \
    || python3 -I -S -c 'import os, sys; os.replace(*sys.argv[1:])' "$1.new" "$1"
}
