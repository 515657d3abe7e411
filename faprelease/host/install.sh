# Run the artifact's own installer: without network, without a compiler, with a clean environment.
# Needs: release, state, install (a shell command, empty for "./install.sh if there is one").
cd "$release" || exit 1
if [ -z "$install" ]; then
  [ -f install.sh ] || { echo "the artifact has no install.sh: nothing to install"; exit 0; }
  install=./install.sh
  [ -x install.sh ] || install='sh ./install.sh'
fi

# run_in [UNSHARE …]: `started` gets a byte when the installer begins, so that a host which refuses the
# namespace is told apart from an installer that fails. What unshare itself says is of no use to anyone.
started=$state/install.started
run_in() {
  : >"$started"
  "$@" env -i PATH="$PATH" HOME="$HOME" LC_ALL=C.UTF-8 \
    CC=/bin/false CXX=/bin/false PIP_NO_INDEX=1 \
    http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 \
    sh -c 'echo >&8 || exit 70; exec 2>&1 8>&-; eval "$1"' install "$install" 3<&- 8>"$started"
  code=$?
  [ ! -s "$started" ] || exit "$code"
}

root=
while read -r key user rest; do
  [ "$key" != Uid: ] || { [ "$user" != 0 ] || root=yes; break; }
done </proc/self/status
if [ -n "$root" ]; then
  run_in unshare --net 2>/dev/null
else
  run_in unshare --map-current-user --net 2>/dev/null
  run_in unshare --map-root-user --net 2>/dev/null
fi
echo "warning: this host allows no network namespace: the installer's network is discouraged, not closed"
run_in
# Not even that began, for example on a disk so full that `started` can't be written.
exit "$code"
