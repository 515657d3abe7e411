# process_of PID: sets $process to what stays the same as long as this process lives, empty if it is gone.
# Gives: process.
process_of() {
  process= boot= stat=
  { read -r stat <"/proc/$1/stat" && read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || return 0
  # the fields after the command's name, which may hold spaces: the 20th is the start time
  set -- ${stat##*) }
  # a zombie has ended, whoever forgot to ask for it
  [ "$1" = Z ] || process="${20} $boot"
}
# is_running HOLDER: the process that was written down as its id and what process_of said of it still lives.
is_running() {
  process_of "${1%% *}"
  [ -n "$process" ] && [ "$process" = "${1#* }" ]
}
