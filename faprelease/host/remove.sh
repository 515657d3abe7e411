# Remove releases: rename first, so that a half-removed one is never taken for a release.
# Needs: releases, records, state, current, forget (yes: the records go too). On stdin: one id a line.
folders=$(ls -l /proc/[0-9]*/cwd 2>/dev/null)
while read -r id; do
  folder=$releases/$id
  if [ "$current" -ef "$folder" ]; then
    continue
  fi
  case "$folders/" in
    *" -> $folder/"* | *" -> $folder
"*)
      echo "kept $id: a process still runs in it"
      continue
      ;;
  esac
  [ ! -e "$state/trash" ] || rm -rf "$state/trash" || exit 1
  [ ! -d "$folder" ] || mv "$folder" "$state/trash" || exit 1
  if [ -n "$forget" ]; then
    rm -rf "$state/trash" "$records/$id.json" "$records/$id.artifact.json" || exit 1
  else
    rm -rf "$state/trash" "$state/$id.download" "$state/$id.download.sha256" || exit 1
  fi
done
