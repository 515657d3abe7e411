# program_status: sets $status to the status of $program by supervisorctl; $program becomes NAME:* if it is a group.
# Needs: program.
# Gives: program, status.
program_status() {
  status=$(timeout 60 supervisorctl status "$program" 2>&1)
  case $status in
    *'no such process'* | *'no such group'*)
      program="$program:*"
      status=$(timeout 60 supervisorctl status "$program" 2>&1)
      ;;
  esac
}
