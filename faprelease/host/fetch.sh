# Download one file and check its digest. Needs: download, sha256 (empty: any). On stdin: curl's own
# configuration, which holds the URL.
# Nothing is ever piped into tar: a download that broke off must not look like a short archive.
command -v curl >/dev/null || { echo "curl is not installed on this host: apt-get install curl"; exit 1; }
curl -q --config - --output "$download.part" || {
  code=$?
  rm -f "$download.part"
  exit "$code"
}
digest=$(sha256sum "$download.part") || exit 1
digest=${digest%% *}
if [ -n "$sha256" ] && [ "$digest" != "$sha256" ]; then
  rm -f "$download.part"
  echo "the downloaded file has sha256 $digest"
  echo "                      expected $sha256"
  exit 65
fi
mv -f "$download.part" "$download" && echo "sha256 $digest"
