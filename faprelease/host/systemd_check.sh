# See the unit active, twice with the same main process, and running in the release. Needs: systemd.sh, release,
# seconds (how long it may take to start), reload (yes: the main process may stay, one of its others is new).
folder=$(cd "$release" && pwd -P) || exit 1
field() {
  field=${facts#*"$1="}
  field=${field%%"
"*}
}
# 0: as it should be; 1: not yet; 2: it will not be.
look() {
  facts=$(ask show -p ActiveState,SubState,MainPID,NRestarts,ControlGroup "$unit")
  field ActiveState; active=$field
  field SubState; wrong="$unit is $active ($field)"
  case $active in
    active) ;;
    activating | reloading) return 1 ;;
    *) return 2 ;;
  esac
  field NRestarts; again=$field
  field MainPID; main=$field
  wrong="$unit has no main process"
  [ "${main:-0}" != 0 ] || return 2
  pids=$main
  field ControlGroup
  [ -z "$reload" ] || pids=$(cat "/sys/fs/cgroup$field/cgroup.procs" "/sys/fs/cgroup/systemd$field/cgroup.procs" 2>/dev/null)
  for pid in $pids; do
    cwd=$(readlink "/proc/$pid/cwd") || { [ -d "/proc/$pid" ] || continue; wrong="process $pid is another user's: can't see from where it runs"; return 0; }
    case $cwd in
      "$folder" | "$folder"/*) wrong=; return 0 ;;
    esac
    wrong="$unit (process $pid) runs in $cwd, not in $folder"
  done
  return 1
}
seconds_left=$seconds before= main= again=0
while :; do
  look
  code=$?
  [ "$code" != 2 ] || break
  if [ "$code" = 0 ]; then
    [ "$before" != "$main $again" ] || { echo "${wrong:-$unit runs in the release, process $main}"; exit 0; }
    before="$main $again"
  fi
  [ "$seconds_left" -gt 0 ] || break
  seconds_left=$((seconds_left - 1))
  sleep 1
done
echo "${wrong:-$unit does not stay up: it was started $again times}"
exit 1
