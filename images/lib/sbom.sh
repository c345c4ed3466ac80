# shellcheck shell=bash
# An image's software bill of materials: found in the image, kept in the registry beside it. Sourced by images/build.
# list_<kind> REFERENCE FOLDER writes what images/lib/sbom.py reads.

# look_into REFERENCE COMMAND…: what COMMAND prints in the image.
look_into() {
    local container
    container=$(in_storage from --quiet --pull=false --tls-verify=$tls_verify "$1")
    in_storage run "$container" -- "${@:2}"
    in_storage rm "$container" > /dev/null
}

debian_in() {
    look_into "$1" cat /var/lib/dpkg/status > "$2/debian"
}

# python_in REFERENCE FOLDER OPTION…: the environment, and the part of uv.lock that it was made from.
python_in() {
    look_into "$1" sh -c 'cd /opt/rlgen/.venv/lib/python3.11/site-packages && ls -d *.dist-info' > "$2/installed"
    locked "${@:3}" --format cyclonedx1.5 > "$2/locked.json"
}

list_base() {
    debian_in "$@"
}

list_database() {
    debian_in "$@"
}

# list_stages REFERENCE FOLDER NAME: of one of the stages' images.
list_stages() {
    debian_in "$1" "$2"
    # shellcheck disable=SC2086 # several options
    python_in "$1" "$2" ${environments[$3]}
}

list_tracking() {
    debian_in "$1" "$2"
    python_in "$1" "$2" --only-group tracking-server
}

# list_binary REFERENCE FOLDER COMMAND: of Debian such an image has the certificates alone.
list_binary() {
    local version
    command -v go > /dev/null || fail "go: not found; it says which modules $3 is built from"
    debian_in "$base" "$2"
    awk -v RS= '/^Package: ca-certificates\n/' "$2/debian" > "$2/certificates"
    mv "$2/certificates" "$2/debian"
    # Its own module has a version in the name of the folder that make cluster built it into.
    version=$(basename "$(dirname "$(readlink -f "$binaries/$3")")")
    version=${version#*-}
    go version -m "$binaries/$3" | sed "s/(devel)/${version%-*}/" > "$2/go"
}

# sbom KIND IMAGE REFERENCE FILE [NAME]: write the bill of IMAGE (name@digest) to FILE; made once, and then in the
# registry as an artifact that refers to the image, under the tag that cosign gives one.
sbom() {
    local kind=$1 image=$2 reference=$3 file=$4 artifact found
    ! grep --quiet --no-messages --fixed-strings "\"$image\"" "$file" || return 0
    artifact=docker://${image%@*}:sha256-${image#*@sha256:}.sbom
    found=$(mktemp -d -p "$TMPDIR")
    if ! skopeo copy --quiet --src-tls-verify=$tls_verify "$artifact" "dir:$found/artifact" > /dev/null 2>&1; then
        mkdir -p "$found"/{parts,artifact}
        "list_$kind" "$reference" "$found/parts" "${@:5}"
        .uv/bin/python images/lib/sbom.py "$image" "$found/parts" > "$found/bill"
        as_artifact "$image" "$found/bill" "$found/artifact"
        skopeo copy --quiet --dest-tls-verify=$tls_verify "dir:$found/artifact" "$artifact" > /dev/null
    fi
    cp "$(grep --files-with-matches '"bomFormat"' "$found/artifact"/*)" "$file"
    rm -rf "$found"
}

# as_artifact IMAGE FILE FOLDER: lay FILE out in FOLDER as skopeo copies it: an OCI artifact whose subject is IMAGE.
as_artifact() {
    local kind=application/vnd.cyclonedx+json empty subject sum
    empty=$(printf '{}' | sha256sum | cut -c 1-64)
    sum=$(sha256sum < "$2" | cut -c 1-64)
    subject=$(skopeo inspect --raw --tls-verify=$tls_verify "docker://$1" | wc -c)
    echo 'Directory Transport Version: 1.1' > "$3/version"
    printf '{}' > "$3/$empty"
    cp "$2" "$3/$sum"
    cat > "$3/manifest.json" << JSON
{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "artifactType": "$kind",
  "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": "sha256:$empty", "size": 2},
  "layers": [{"mediaType": "$kind", "digest": "sha256:$sum", "size": $(wc -c < "$2")}],
  "subject": {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "digest": "${1#*@}",
    "size": $subject
  }
}
JSON
}
