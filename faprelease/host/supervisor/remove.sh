# Remove a program from supervisord after its first release failed. supervisord would not start again with a link to a
# missing file.
# Needs: program, conf, rendered, target.
supervisorctl stop "$program" "$program:*"
case $(readlink "$target" 2>/dev/null) in
  "$conf" | "$rendered") rm -f "$target" ;;
esac
supervisorctl update "$program" || :
