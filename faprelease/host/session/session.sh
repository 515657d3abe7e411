# Runs once, at the start of a session, in the shell that lives as long as the channel.
# Needs: lib/lock.sh, fap_mark, fap_token, fap_output_limit, fap_idle_limit, fap_for_each_folder (a function).
export LC_ALL=C FAP_SESSION=$$
unset CDPATH ENV
# The file that takes what an untrusted step prints. `set -C` makes a new one, whatever stands there already.
fap_number=0
umask 077
set -C
until fap_output=${TMPDIR:-/tmp}/$fap_mark.$$.$fap_number && true >"$fap_output"; do
  fap_number=$((fap_number + 1))
  [ "$fap_number" -lt 100 ] || exit 71
done 2>/dev/null
set +C
umask 022

# fap_unlock FOLDER: our own lock goes with the rest at the end; another's is left alone.
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
  # The controller waits for this: the locks are gone, and it need not see sshd tidy up.
  printf '%s bye\n' "$fap_mark"
}
# However the session ends (its last line, a cut connection, a signal), the locks are let go.
trap fap_close EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

# fap_find_keeper: sets $fap_keeper to who holds the other end of this session, sshd or the local controller.
fap_find_keeper() {
  fap_keeper=$FAP_SESSION fap_name=sudo
  while [ "$fap_name" = sudo ]; do
    read -r fap_stat <"/proc/$fap_keeper/stat" || return 1
    set -- ${fap_stat##*) }
    fap_keeper=$2
    read -r fap_name <"/proc/$fap_keeper/comm" || return 1
  done
}
# fap_is_fed: a step runs, or the controller was heard of less than fap_idle_limit seconds ago. This shell's input is
# all that it reads then, so what the kernel counts as read tells (proc(5), /proc/PID/io); its only child is the watcher.
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
# While a step runs, nobody reads this shell's input: so a step whose controller was killed is stopped from
# here, and the lock does not outlive it for as long as an installer takes. A connection that only looks open (the
# controller's machine is gone, and no packet said so) holds nothing for long either.
(
  trap - EXIT HUP INT PIPE TERM
  exec </dev/null >/dev/null 2>&1
  fap_find_keeper || exit
  fap_first=$fap_keeper fap_read= fap_idle=0
  while sleep 3 && read -r fap_stat <"/proc/$FAP_SESSION/stat"; do
    if fap_find_keeper && [ "$fap_keeper" = "$fap_first" ]; then
      fap_is_fed && continue
      # A shell that waits for its input hears no TERM, and tidies up no more.
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

# fap_look_for_programs FOLDER: which of our programs are here already, and need not be sent (start.py): the number of
# the folder, and the name.
fap_look_for_programs() {
  for fap_file in "$1"/code/*.txt; do
    [ ! -O "$fap_file" ] || fap_kept="$fap_kept $fap_folder/${fap_file##*/}"
  done
  fap_folder=$((fap_folder + 1))
}

# fap_step NUMBER SECONDS: the script is on descriptor 3, its input on 4. With 0 SECONDS it is a
# trusted one, which ends by itself, says little and leaves no job behind.
fap_step() {
  # Where one step ends the next begins: each line costs both sides a packet. A login banner may have ended without
  # a newline.
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
    [ "$fap_code" != 124 ] || echo "stopped after $2 s, the step's limit" >>"$fap_output"
    [ ! -s "$fap_output" ] || tail -c "$fap_output_limit" "$fap_output"
  fi
  printf '\n%s end %s %s\n' "$fap_mark" "$1" "$fap_code"
  return "$fap_code"
}
