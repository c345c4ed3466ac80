# shellcheck shell=bash
# buildah with a storage of the project's own, and what a build is lent of this machine. Sourced by images/build.

export BUILDAH_ISOLATION=chroot TMPDIR=$work/tmp CONTAINERS_CONF=$PWD/images/lib/containers.conf

in_storage() {
    local command=$1
    shift
    buildah --storage-driver overlay --root "$work/root" --runroot "$work/run" "$command" "$@"
}

# build REFERENCE CONTEXT [OPTION…]: build CONTEXT/Containerfile.
build() {
    local reference=$1 context=$2
    shift 2
    in_storage bud --quiet --layers --force-rm --format oci "$@" --tag "$reference" "$context" > /dev/null
}

# lend_uv: print the options of `build` that lend it uv in /mnt: this machine's uv, uv's cache, the lock, and how this
# machine reaches a package index. Nothing of it gets into a layer.
lend_uv() {
    local lent=$work/lent cache name
    mkdir -p "$lent"/{bin,cache,project}
    cp images/lib/uv-in-build "$lent/uv"
    cp pyproject.toml uv.lock "$lent/project/"
    cache=$(.uv/bin/uv cache dir)
    mkdir -p "$cache"
    for name in $(compgen -e UV_ || true); do
        printf 'export %s=%q\n' "$name" "${!name}"
    done > "$lent/network"
    for name in SSL_CERT_FILE UV_CONFIG_FILE NETRC; do
        if [ -n "${!name:-}" ]; then
            cp "${!name}" "$lent/$name"
            echo "export $name=/mnt/$name" >> "$lent/network"
        fi
    done
    printf '%s\n' --volume "$lent:/mnt:ro" --volume "$PWD/.uv/bin:/mnt/bin:ro" --volume "$cache:/mnt/cache"
}

# clean_up: remove build contexts and what a build was lent; those of an earlier build that was killed, too.
clean_up() {
    in_storage rm --all > /dev/null
    rm -rf "$work/lent" "$TMPDIR"
}

# forget_others NAME TAG: remove NAME's images of other tags from the local storage.
forget_others() {
    local name=$1 tag=$2 image
    in_storage images --noheading --format '{{.Name}}:{{.Tag}}' | { grep -F "/rlgen/$name:" || true; } |
        while read -r image; do
            [ "${image##*:}" = "$tag" ] || in_storage rmi "$image" > /dev/null
        done
}

# forget_unneeded: remove layers that no image stands on.
forget_unneeded() {
    in_storage rmi --prune > /dev/null
}
