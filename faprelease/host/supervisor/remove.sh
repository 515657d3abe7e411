# Take a program out of supervisord, whose first release failed. Needs: program, conf, rendered, target.
# A link that names nothing would keep supervisord from starting again.
supervisorctl stop "$program" "$program:*"
case $(readlink "$target" 2>/dev/null) in
  "$conf" | "$rendered") rm -f "$target" ;;
esac
supervisorctl update "$program" || :
