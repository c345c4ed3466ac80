# shellcheck shell=bash
# buildah with a storage of the project's own, and what a build is lent of this machine. Sourced by images/build.

export BUILDAH_ISOLATION=chroot TMPDIR=$work/tmp
mkdir -p "$TMPDIR"

in_storage() {
    local command=$1
    shift
    buildah --storage-driver overlay --root "$work/root" --runroot "$work/run" "$command" "$@"
}

# build REFERENCE CONTEXT [OPTION…]: build CONTEXT/Containerfile.
build() {
    local reference=$1 context=$2
    shift 2
    in_storage bud --quiet --layers --force-rm --format oci --tls-verify="$tls_verify" "$@" --tag "$reference" "$context" > /dev/null
}

# uv_mounts: print the options of `build` that lend a build uv in /mnt: this machine's uv, its cache, the lock, and how this
# machine reaches a package index. Nothing of it gets into a layer.
uv_mounts() {
    local lent=$work/lent cache name
    rm -rf "$lent"
    mkdir -p "$lent"/{bin,cache,project}
    cp images/lib/uv-in-build "$lent/uv"
    cp pyproject.toml uv.lock "$lent/project/"
    cache=$(.uv/bin/uv cache dir)
    mkdir -p "$cache"
    for name in $(compgen -e | grep -E '^(UV_|SSL_CERT_FILE$|NETRC$)' || true); do
        printf 'export %s=%q\n' "$name" "${!name}"
    done > "$lent/network"
    printf '%s\n' --volume "$lent:/mnt:ro" --volume "$PWD/.uv/bin:/mnt/bin:ro" --volume "$cache:/mnt/cache"
    for name in "${SSL_CERT_FILE:-}" "${UV_CONFIG_FILE:-}" "${NETRC:-}"; do
        [ -z "$name" ] || printf '%s\n' --volume "$name:$name:ro"
    done
}

# forget_others NAME TAG: remove NAME's images of other tags from the local storage, with the layers that only they use.
forget_others() {
    local name=$1 tag=$2 image
    in_storage images --noheading --format '{{.Name}}:{{.Tag}}' | grep -F "/rlgen/$name:" | grep -vF ":$tag" |
        while read -r image; do
            in_storage rmi "$image" > /dev/null
        done || true
}
