# refuse_links RELEASE NAME: fail if a folder above NAME, a relative path, is a link. What lies below a link is not in the
# release, and must not be replaced.
refuse_links() {
  above=$1 rest=$2
  while [ "$rest" != "${rest#*/}" ]; do
    above=$above/${rest%%/*} rest=${rest#*/}
    [ ! -L "$above" ] || { echo "$above is a link, so $2 would not be in the release"; return 1; }
  done
}
