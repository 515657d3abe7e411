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
