# Check that every process of a program is RUNNING, with the release as its working folder. While one is STARTING, wait up
# to 60 s; any other state is a failure.
# Needs: lib/supervisor.sh, release, children (yes: it is enough that a child process runs there).
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
  runs_there=
  for pid in $pids; do
    cwd=$(readlink "/proc/$pid/cwd") || { echo "$name runs as another user: can't see its working folder"; continue 2; }
    case $cwd in
      "$folder" | "$folder"/*) runs_there=yes ;;
    esac
  done
  [ -n "$runs_there" ] || { echo "$name (pid $pid) runs from $cwd, not from $folder"; exit 1; }
done
