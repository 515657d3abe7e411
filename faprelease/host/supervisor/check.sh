# See every process of a program RUNNING, twice, and with the release as its working folder.
# Needs: lib/supervisor.sh, release, children (yes: it is enough that a child process runs there).
# STARTING is waited for, up to 60 s; anything else is a failure at once.
folder=$(cd "$release" && pwd -P) || exit 1
seconds=0
while program_status; do
  case $status in
    *STARTING*) [ "$seconds" -lt 60 ] || break ;;
    *) break ;;
  esac
  seconds=$((seconds + 1))
  sleep 1
done
echo "$status"
[ -n "$status" ] || exit 1
echo "$status" | while read -r name state rest; do
  [ "$state" = RUNNING ] || { echo "$name is $state, not RUNNING"; exit 1; }
  pid=${rest#pid }
  pid=${pid%%,*}
  [ -d "/proc/$pid" ] || { echo "$name (pid $pid) has ended"; exit 1; }
  pids=$pid
  [ -z "$children" ] || read -r pids <"/proc/$pid/task/$pid/children"
  [ -n "$pids" ] || { echo "$name (pid $pid) has no child processes"; exit 1; }
  found=
  for pid in $pids; do
    cwd=$(readlink "/proc/$pid/cwd") || { echo "$name runs as another user: can't see from where"; continue 2; }
    case $cwd in
      "$folder" | "$folder"/*) found=yes ;;
    esac
  done
  [ -n "$found" ] || { echo "$name (pid $pid) runs from $cwd, not from $folder"; exit 1; }
done
