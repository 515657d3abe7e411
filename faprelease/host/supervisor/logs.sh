# Print the logs of a program's processes, standard output and error.
# Needs: lib/supervisor.sh, follow (yes or empty).
program_status
echo "$status" | {
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
