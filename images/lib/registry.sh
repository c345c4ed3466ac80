# shellcheck shell=bash
# What the registry holds, and how an image gets there. Sourced by images/build.

# Only a registry on this machine speaks plain HTTP.
case $REGISTRY in
localhost | localhost:* | 127.0.0.1:*) tls_verify=false ;;
*) tls_verify=true ;;
esac

# registry_digest REFERENCE: print the digest it has in the registry, nothing where the registry does not hold it.
registry_digest() {
    local said
    if said=$(skopeo inspect --tls-verify=$tls_verify --format '{{.Digest}}' "docker://$1" 2>&1); then
        echo "$said"
    elif ! grep -qE 'manifest unknown|name unknown' <<< "$said"; then
        fail "registry $REGISTRY: ${said##*: }; make cluster starts localhost:5000, others may want a buildah login"
    fi
}

# registry_push REFERENCE: push from the local storage. zstd at its lowest level halves what is written and read again.
registry_push() {
    in_storage push --quiet --tls-verify=$tls_verify --format oci \
        --compression-format zstd --compression-level 1 "$1" "docker://$1" > /dev/null
}
