# Take a program out of supervisord, whose first release failed. A link that names nothing would keep supervisord
# from starting again.
# Needs: program, conf, rendered, target.
supervisorctl stop "$program" "$program:*"
case $(readlink "$target" 2>/dev/null) in
  "$conf" | "$rendered") rm -f "$target" ;;
esac
supervisorctl update "$program" || :
