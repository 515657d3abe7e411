# process_of PID: sets $process to its start time and boot, which identify a process; empty if it has ended.
# Gives: process.
process_of() {
  process= boot= stat=
  { read -r stat <"/proc/$1/stat" && read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || return 0
  # the fields after the command's name, which may hold spaces: the 20th is the start time
  set -- ${stat##*) }
  # a zombie has ended too
  [ "$1" = Z ] || process="${20} $boot"
}
# is_running HOLDER: the process still runs that was recorded as its id and what process_of set for it.
is_running() {
  process_of "${1%% *}"
  [ -n "$process" ] && [ "$process" = "${1#* }" ]
}
