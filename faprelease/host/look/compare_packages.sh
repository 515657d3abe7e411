# Print which files of the packages that a release shares with others have changed since they were made, as compare_tree.sh does.
# Needs: lib/tree.sh, release.
packages=$(cd -P "$release/venv/packages" 2>/dev/null && pwd) || exit 0
if [ ! -f "$packages.files" ]; then
  # Those of earlier versions of fapkit, whose names have fewer parts, have no list.
  case ${packages##*/} in *-*-*) echo "+ ./venv/packages -> without the list of its files" ;; esac
  exit 0
fi
cd "$packages" || exit 1
{
  find . -type f -exec sha256sum {} +
  find . ! -type f ! -type d
} | LC_ALL=C sort | show_changes "$packages.files" | sed 's|^\([+-] \)\(.*  \)\{0,1\}\./|\1\2./venv/packages/|'
