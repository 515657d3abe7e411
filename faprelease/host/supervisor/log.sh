# What the processes of a program printed last.
# Needs: program.
case $(supervisorctl status "$program" 2>&1) in
  *'no such process'* | *'no such group'*) program="$program:*" ;;
esac
supervisorctl status "$program" | head -n 3 | while read -r name _; do
  for stream in stdout stderr; do
    said=$(supervisorctl tail -2000 "$name" "$stream" 2>&1 | tail -n 10)
    [ -z "$said" ] || printf '%s, %s:\n%s\n' "$name" "$stream" "$said"
  done
done
