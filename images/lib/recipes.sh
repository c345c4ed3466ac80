# shellcheck shell=bash
# What goes into each image, and how its build context is laid out. Sourced by images/build.
# <name>_inputs prints all that decides the image; build_<name> REFERENCE CONTEXT makes it in the empty folder CONTEXT.

# contents PATH…: a line with the hash of each file below.
contents() {
    find "$@" -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
}

# locked OPTION…: the part of uv.lock that an environment installs, with hashes.
locked() {
    .uv/bin/uv export --quiet --frozen --no-header --no-annotate --no-emit-project "$@"
}

# packages PATTERN: of locked packages on standard input, those that match, with their hashes.
packages() {
    awk -v pattern="$1" '!/^ / { wanted = $0 ~ pattern } wanted'
}

base_inputs() {
    echo "${BASE:-}"
    contents images/base
}

build_base() {
    local reference=$1 context=$2 from=${BASE:-localhost/debian:${1##*:}}
    if [ -z "${BASE:-}" ] && ! in_storage inspect --type image "$from" > /dev/null 2>&1; then
        images/base/rootfs "$context/debian"
        printf 'FROM scratch\nCOPY debian /\n' > "$context/Containerfile"
        build "$from" "$context"
    fi
    build "$reference" images/base --build-arg BASE="$from"
}

# The environments of the stages' images: what they take of the lock.
declare -A environments=([stages]="--no-dev" [stages-vllm]="--no-default-groups --group=vllm")

stages_inputs() {
    echo "$base $commit"
    contents images/stages images/lib/uv-in-build src workflows pyproject.toml
    # shellcheck disable=SC2086 # several options
    locked ${environments[$1]}
}

build_stages() {
    local reference=$1 context=$2 environment=${environments[$3]} lent
    cp images/stages/Containerfile "$context"
    cp -r workflows "$context"
    rm -rf "$context/workflows/__pycache__"
    # shellcheck disable=SC2086 # several options
    locked $environment > "$context/requirements.txt"
    packages '^(nvidia|cuda)-' < "$context/requirements.txt" > "$context/nvidia.txt"
    packages '^(torch|torchaudio|torchvision|triton)==' < "$context/requirements.txt" > "$context/torch.txt"
    packages '^deepspeed==' < "$context/requirements.txt" > "$context/deepspeed.txt"
    .uv/bin/uv build --quiet --wheel --out-dir "$context" .
    mapfile -t lent < <(lend_uv)
    build "$reference" "$context" "${on_base[@]}" --build-arg COMMIT="$commit" --build-arg ENVIRONMENT="$environment" \
        "${lent[@]}"
}

tracking_inputs() {
    echo "$base"
    contents images/tracking images/lib/uv-in-build
    locked --only-group tracking-server
}

build_tracking() {
    local reference=$1 context=$2 lent
    cp images/tracking/Containerfile "$context"
    locked --only-group tracking-server > "$context/requirements.txt"
    mapfile -t lent < <(lend_uv)
    build "$reference" "$context" "${on_base[@]}" "${lent[@]}"
}

database_inputs() {
    echo "$base"
    contents images/database
}

build_database() {
    build "$1" images/database "${on_base[@]}"
}

# The images of one binary: by name, the command that is in it.
declare -A commands=([minio]=minio [workflow-controller]=workflow-controller [argocli]=argo [argoexec]=argoexec)

binary_inputs() {
    echo "$base $1"
    contents images/binary
    sha256sum < "$binaries/${commands[$1]}"
}

build_binary() {
    local reference=$1 context=$2 command=$3
    cp images/binary/Containerfile "$context"
    echo "ENTRYPOINT [\"$command\"]" >> "$context/Containerfile"
    mkdir "$context/bin"
    cp -L "$binaries/$command" "$context/bin/"
    build "$reference" "$context" "${on_base[@]}"
}
