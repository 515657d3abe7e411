# Print the logs of a program's processes, standard output and error.
# Needs: program, follow (yes or empty).
case $(supervisorctl status "$program" 2>&1) in
  *'no such process'* | *'no such group'*) program="$program:*" ;;
esac
supervisorctl status "$program" | {
  while read -r name _; do
    for stream in stdout stderr; do
      if [ -n "$follow" ]; then
        supervisorctl tail -f "$name" "$stream" </dev/null &
      else
        echo "==> $name, $stream"
        supervisorctl tail -8000 "$name" "$stream"
      fi
    done
  done
  wait
}
