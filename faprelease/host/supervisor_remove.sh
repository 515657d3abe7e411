# Take a program out of supervisord, whose first release failed. Needs: program, conf, target.
# A link that names nothing would keep supervisord from starting again.
supervisorctl stop "$program" "$program:*"
[ "$(readlink "$target" 2>/dev/null)" != "$conf" ] || rm -f "$target"
supervisorctl update "$program" || :
