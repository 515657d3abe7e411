# in_release COMMAND: run it in a release, with its environment and with its programs first on the PATH.
# Needs: lib/environment.sh, release (its folder), environment_file.
in_release() {
  (
    cd "$release" || exit 1
    export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
    load_environment "$environment_file"
    [ ! -x .fap/run ] || exec .fap/run -- sh -c "$1"
    export PATH="$release/venv/bin:$PATH" VIRTUAL_ENV="$release/venv"
    exec sh -c "$1"
  ) 3<&-
}
