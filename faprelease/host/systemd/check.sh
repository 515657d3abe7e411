# See all that systemd runs of a release active, twice with the same main processes, and running in the release. Needs: lib/systemd.sh,
# release, seconds (how long it may take to start), reload (yes: the main process may stay, one of its others is new).
folder=$(cd "$release" && pwd -P) || exit 1
units_of "$release"
field() {
  field=${facts#*"$1="}
  field=${field%%"
"*}
}
# look UNIT: 0: as it should be; 1: not yet; 2: it will not be.
look() {
  facts=$(ask show -p ActiveState,SubState,Job,MainPID,NRestarts,ControlGroup "$1")
  field ActiveState; active=$field
  field SubState; wrong="$1 is $active ($field)"
  case $active in
    active) ;;
    activating | reloading) return 1 ;;
    *)
      # It waits for its turn to start.
      case $facts in *Job=[1-9]*) return 1 ;; esac
      return 2
      ;;
  esac
  field NRestarts; again=$field
  field MainPID; main=$field
  wrong="$1 has no main process"
  [ "${main:-0}" != 0 ] || return 2
  pids=$main
  field ControlGroup
  [ -z "$reload" ] || pids=$(cat "/sys/fs/cgroup$field/cgroup.procs" "/sys/fs/cgroup/systemd$field/cgroup.procs" 2>/dev/null)
  for pid in $pids; do
    cwd=$(readlink "/proc/$pid/cwd") || { [ -d "/proc/$pid" ] || continue; wrong="process $pid is another user's: can't see from where it runs"; return 0; }
    case $cwd in
      "$folder" | "$folder"/*) wrong=; return 0 ;;
    esac
    wrong="$1 (process $pid) runs in $cwd, not in $folder"
  done
  return 1
}
# The worst of all, with what is to be said of it.
look_at_all() {
  seen= said=
  for service in $services; do
    look "$service" || return
    seen="$seen $main $again"
    said="$said${wrong:-$service runs in the release, process $main}
"
  done
}
seconds_left=$seconds before= seen= again=0
while :; do
  look_at_all
  code=$?
  [ "$code" != 2 ] || break
  if [ "$code" = 0 ]; then
    [ "$before" != "$seen" ] || { printf '%s' "$said"; exit 0; }
    before=$seen
  fi
  [ "$seconds_left" -gt 0 ] || break
  seconds_left=$((seconds_left - 1))
  sleep 1
done
echo "${wrong:-$service does not stay up: it was started $again times}"
exit 1
