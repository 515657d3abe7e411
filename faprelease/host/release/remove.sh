# Remove releases: rename first, so that a partly removed one is never taken for a release. On stdin: ids, one per line.
# Needs: lib/processes.sh, lib/remove.sh, releases, records, state, current,
#   run (the folder of starts), forget (yes: also remove the records).
stuck=
while read -r id; do
  folder=$releases/$id
  if [ "$current" -ef "$folder" ]; then
    continue
  fi
  if [ -n "$(processes_in "$folder")" ]; then
    echo "kept $id: a process still runs in it"
    continue
  fi
  # A start that is kept for a rollback may be between two processes.
  for start in "$run/$id"-*/; do
    [ -d "$start" ] && [ -n "$forget" ] || continue
    echo "kept $id: a start of it is in $start"
    continue 2
  done
  # A server that loads new code on a signal keeps its interpreter and its packages, while its folder changes.
  if [ -e "$folder/venv/bin/python" ] && real=$(cd -P "$folder" && pwd) && is_used "$real/venv"; then
    echo "kept $id: a process still runs with its packages"
    continue
  fi
  # The trash is beside the releases: $state may be on another file system, and a read-only folder keeps its parent.
  trash=$releases/.trash-$id
  { remove_all "$trash" && { [ ! -d "$folder" ] || mv "$folder" "$trash"; }; } || { stuck=$folder; continue; }
  set -- "$state/$id.download" "$state/install.tmp"
  [ -z "$forget" ] \
    || set -- "$@" "$records/$id.jsonl" "$records/$id.artifact.json" "$records/$id.install.json" "$records/$id.tree" \
      "$records/$id.files"
  remove_all "$@" || exit 1
done
for trash in "$releases"/.trash*; do
  [ ! -e "$trash" ] || remove_all "$trash" || stuck=$trash
done

# Remove packages that no release links to.
for env in "$state"/envs/*; do
  [ -e "$env" ] || continue
  for link in "$releases"/*/venv/packages; do
    [ ! "$env" -ef "$link" ] && [ ! "${env%.seen}" -ef "$link" ] && [ ! "${env%.files}" -ef "$link" ] || continue 2
  done
  folder=${env%.seen} folder=${folder%.files}
  ! real=$(cd -P "$folder" 2>/dev/null && pwd) || ! is_used "$real" || continue
  remove_all "$env" || stuck=$env
done
[ -z "$stuck" ] || { echo "remove files of another user by hand: sudo chattr -R -i $stuck; sudo rm -rf $stuck"; exit 1; }
