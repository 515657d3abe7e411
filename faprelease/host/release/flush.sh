# Flush a release to the disk before it is recorded as complete: otherwise its files could be empty after a power failure.
# Needs: release, state.
# With -f, sync waits only for these file systems; an older sync waits for all.
output=$(sync -f "$release" "$state" 2>&1) || case $output in
  *option* | *sage*) sync ;;
  *) echo "${output:-sync failed}"; exit 1 ;;
esac
