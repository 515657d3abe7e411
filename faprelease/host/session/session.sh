# Runs once, at the start of a session, in the shell that lives as long as the channel.
# Needs: lib/lock.sh, fap_mark, fap_output_name, fap_token, fap_output_limit, fap_idle_limit, fap_for_each_folder (a function).
export LC_ALL=C FAP_SESSION=$$
unset CDPATH ENV
# The file for the output of untrusted steps. `set -C` makes a new one, but opens a FIFO that is there already: so its
# name is one that no other user can guess.
fap_files=$(ulimit -n)
[ "$fap_files" = unlimited ] || [ "$fap_files" -ge 64 ] || {
  echo "this user may open only $fap_files files here (ulimit -n), and needs at least 64: see /etc/security/limits.conf"
  exit 71
}
umask 077
set -C
for fap_folder in "${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm; do
  fap_output=$fap_folder/$fap_output_name.$$
  true >"$fap_output" || continue
  # There must be room in it.
  printf '%16384s' '' >|"$fap_output" && : >|"$fap_output" && break
  rm -f "$fap_output"
done 2>/dev/null
set +C
umask 022
[ -f "$fap_output" ] || {
  echo "no room for a temporary file in ${TMPDIR:-/tmp}, /tmp, /var/tmp or /dev/shm: look at df -h and df -i on this host"
  exit 71
}

# fap_unlock FOLDER: list our own lock for removal; another session's is left alone.
fap_unlock() {
  ! holds_lock "$1" "$fap_token" >/dev/null || fap_rubbish="$fap_rubbish$1/lock
"
}
fap_close() {
  trap '' PIPE HUP TERM
  kill "$fap_watcher" 2>/dev/null
  fap_rubbish=
  fap_for_each_folder fap_unlock
  IFS='
'
  set -f
  rm -f $fap_rubbish "$fap_output"
  # The controller waits for this line: the locks are released, and it need not wait until sshd has ended.
  printf '%s bye\n' "$fap_mark"
}
# However the session ends (its last line, a lost connection, a signal), it releases its locks.
trap fap_close EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

# fap_find_keeper: sets $fap_keeper to the process at the other end of this session, sshd or the local controller.
fap_find_keeper() {
  fap_keeper=$FAP_SESSION fap_name=sudo
  while [ "$fap_name" = sudo ]; do
    read -r fap_stat <"/proc/$fap_keeper/stat" || return 1
    set -- ${fap_stat##*) }
    fap_keeper=$2
    read -r fap_name <"/proc/$fap_keeper/comm" || return 1
  done
}
# fap_is_fed: a step runs, or the controller has sent something in the last fap_idle_limit seconds. An idle shell reads only
# its input, so the kernel's count of bytes read shows that (proc(5), /proc/PID/io); its only child is the watcher.
fap_is_fed() {
  fap_children= fap_now=
  { read -r fap_now <"/proc/$FAP_SESSION/io"; read -r fap_children <"/proc/$FAP_SESSION/task/$FAP_SESSION/children"; } 2>/dev/null
  [ -n "$fap_now" ] && [ -n "$fap_children" ] || return 0
  case $fap_now$fap_children in
    "$fap_read${fap_children%% *}") ;;
    *) fap_read=$fap_now fap_idle=0 ;;
  esac
  fap_idle=$((fap_idle + 3))
  [ "$fap_idle" -le "$fap_idle_limit" ]
}
# The watcher. While a step runs, nobody reads this shell's input, so the watcher stops a step whose controller was killed:
# the lock is released at once, not when an installer ends. It also ends a session whose connection only seems open (the
# controller's machine is gone, and sent no packet to say so).
(
  trap - EXIT HUP INT PIPE TERM
  exec </dev/null >/dev/null 2>&1
  fap_find_keeper || exit
  fap_first=$fap_keeper fap_read= fap_idle=0
  while sleep 3 && read -r fap_stat <"/proc/$FAP_SESSION/stat"; do
    if fap_find_keeper && [ "$fap_keeper" = "$fap_first" ]; then
      fap_is_fed && continue
      # A shell that waits for its input does not handle TERM, and no longer cleans up.
      kill -KILL "$FAP_SESSION"
      fap_close
      exit
    fi
    trap '' TERM
    read -r fap_children <"/proc/$FAP_SESSION/task/$FAP_SESSION/children"
    kill $fap_children
    kill -TERM 0
    exit
  done
) &
fap_watcher=$!

# fap_look_for_programs FOLDER: add our programs that are here already, and need not be sent (start.py), to $fap_kept: the
# number of the folder, and the name.
fap_look_for_programs() {
  for fap_file in "$1"/code/*.txt; do
    [ ! -O "$fap_file" ] || fap_kept="$fap_kept $fap_folder/${fap_file##*/}"
  done
  fap_folder=$((fap_folder + 1))
}

# fap_step NUMBER SECONDS: run a step; its script is on descriptor 3, its input on 4. With 0 SECONDS it is trusted: it ends
# by itself, prints little and leaves no job behind.
fap_step() {
  # The end of one step is the start of the next: each line costs both sides a packet. A login banner may have ended
  # without a newline.
  if [ "$1" = 0 ]; then
    fap_kept= fap_folder=0
    fap_for_each_folder fap_look_for_programs
    printf '\n%s begin%s\n' "$fap_mark" "$fap_kept"
  fi
  if [ "$2" = 0 ]; then
    (
      trap - EXIT HUP INT PIPE TERM
      . /dev/fd/3
    ) <&4 4<&- 2>&1
    fap_code=$?
  else
    timeout -k 5 "$2" sh /dev/fd/3 <&4 4<&- >"$fap_output" 2>&1
    fap_code=$?
    [ "$fap_code" != 124 ] || echo "stopped after $2 s, the time limit of this step" >>"$fap_output"
    # Foreign code wrote it: indented, no line of it can look like one of ours.
    [ ! -s "$fap_output" ] || tail -c "$fap_output_limit" "$fap_output" | sed 's/^/ /'
  fi
  printf '\n%s end %s %s\n' "$fap_mark" "$1" "$fap_code"
  return "$fap_code"
}
