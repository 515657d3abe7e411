# Remove releases: rename first, so that a half-removed one is never taken for a release.
# Needs: releases, records, state, current, forget (yes: the records go too). On stdin: one id a line.
live=$(readlink "$current" 2>/dev/null)
while read -r id; do
  [ "${live##*/}" != "$id" ] || continue
  if ls -l /proc/[0-9]*/cwd 2>/dev/null | grep -qF -- "-> $releases/$id"; then
    echo "kept $id: a process still runs in it"
    continue
  fi
  rm -rf "$state/trash"
  if [ -d "$releases/$id" ]; then
    mv "$releases/$id" "$state/trash" || exit 1
  fi
  [ -z "$forget" ] || rm -f "$records/$id.json" "$records/$id.artifact.json"
  rm -rf "$state/trash" || exit 1
done
