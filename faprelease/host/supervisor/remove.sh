# Remove a program from supervisord after its first release failed. supervisord would not start again with a link to a
# missing file. A program of the same name that another file brings is left alone.
# Needs: program, conf, rendered, target.
case $(readlink "$target" 2>/dev/null) in
  "$conf" | "$rendered")
    supervisorctl stop "$program" "$program:*"
    rm -f "$target"
    ;;
esac
supervisorctl update "$program" || :
