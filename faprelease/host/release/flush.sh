# What was written is on the disk before anything says that it is complete: after a power cut the names of a release could
# be there, and its files be empty.
# Needs: release, state.
# A sync that knows -f waits for their file systems alone, an older one for all.
said=$(sync -f "$release" "$state" 2>&1) || case $said in
  *option* | *sage*) sync ;;
  *) echo "${said:-sync failed}"; exit 1 ;;
esac
