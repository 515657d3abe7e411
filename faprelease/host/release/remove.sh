# Remove releases: rename first, so that a half-removed one is never taken for a release. On stdin: one id a line.
# Needs: releases, records, state, current, forget (yes: the records go too).

# Where the processes of this user run. `cd` asks the kernel, and costs no process for each of them.
folders='
'
for process in /proc/[0-9]*; do
  cd -P "$process/cwd" 2>/dev/null && folders="$folders$PWD
"
done
cd /
# A release is read-only, its folders too. A file of it may be a link that others share, so only folders are opened.
open_trash() {
  [ ! -e "$releases/.trash" ] || find "$releases/.trash" -type d ! -perm -200 -exec chmod u+w {} +
}
while read -r id; do
  folder=$releases/$id
  if [ "$current" -ef "$folder" ]; then
    continue
  fi
  if cd -P "$folder" 2>/dev/null; then
    there=$PWD
    cd /
    case $folders in
      *"
$there
"* | *"
$there/"*)
        echo "kept $id: a process still runs in it"
        continue
        ;;
    esac
  fi
  # The trash lies among the releases, as $state may be on another file system.
  [ ! -e "$releases/.trash" ] || { open_trash && rm -rf "$releases/.trash"; } || exit 1
  [ ! -d "$folder" ] || mv "$folder" "$releases/.trash" || exit 1
  open_trash || exit 1
  [ ! -e "$state/install.tmp" ] || chmod -R u+w "$state/install.tmp" || exit 1
  set -- "$releases/.trash" "$state/$id.download" "$state/install.tmp"
  [ -z "$forget" ] || set -- "$@" "$records/$id.jsonl" "$records/$id.artifact.json" "$records/$id.install.json" "$records/$id.tree"
  rm -rf "$@" || exit 1
done

# The packages that no release links to any more. Their folders are read-only; their files may have other names
# elsewhere, so the modes of files stay.
[ -d "$state/envs" ] || exit 0
for env in "$state"/envs/*; do
  [ -e "$env" ] || continue
  for link in "$releases"/*/venv/packages; do
    [ ! "$env" -ef "$link" ] && [ ! "${env%.seen}" -ef "$link" ] || continue 2
  done
  find "$env" -type d -exec chmod u+w {} + && rm -rf "$env" || exit 1
done
