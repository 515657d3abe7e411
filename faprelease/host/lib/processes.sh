# processes_in FOLDER: print the id of each process of this user that runs in FOLDER, and its working folder in there. `cd`
# asks the kernel, without a new process for each of them.
processes_in() (
  cd -P "$1" 2>/dev/null || exit 0
  folder=$PWD
  for process in /proc/[0-9]*; do
    # This shell is one of the processes, and must not be in FOLDER.
    cd /
    cd -P "$process/cwd" 2>/dev/null || continue
    case $PWD/ in "$folder"/*) where=${PWD#"$folder"}; echo "${process#/proc/} ${where#/}" ;; esac
  done
)
# is_used FOLDER: a process of this user has a program or a library from FOLDER, or looks for them there. Its words, variables
# and memory (proc(5)) show that; the name comes on stdin, so that no word of grep shows it.
is_used() {
  printf '%s/\n' "$1" | grep -qsaF -f - /proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/[0-9]*/maps
}
