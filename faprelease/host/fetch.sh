# Download one file and check its digest. Needs: download, sha256 (empty: any). On stdin: curl's own
# configuration, which holds the URL and the time limits.
# Nothing is ever piped into tar: a download that broke off must not look like a short archive.
curl -q --config - --output "$download" || {
  code=$?
  rm -f "$download"
  exit "$code"
}
digest=$(sha256sum "$download") || exit 1
digest=${digest%% *}
if [ -n "$sha256" ] && [ "$digest" != "$sha256" ]; then
  rm -f "$download"
  echo "the downloaded file has sha256 $digest"
  echo "                      expected $sha256"
  exit 65
fi
echo "$digest" >"$download.sha256" && echo "sha256 $digest"
