# For the scripts of this folder: tools, namespace, errors. Sourced from the repository's root.
# shellcheck shell=bash disable=SC2034
release=rlgen
namespace=${RLGEN_NAMESPACE:-rlgen}

# What the development cluster built is used where there is no other.
PATH="$PATH:${XDG_CACHE_HOME:-$HOME/.cache}/rlgen-k8s/bin/current"

fail() {
    echo "error: $1" >&2
    exit 2
}

need() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "$tool: not found; install it, or run make cluster, which builds it"
    done
}

need_cluster() {
    need kubectl
    context=$(kubectl config current-context 2>/dev/null) ||
        fail "kubeconfig: no current context; run make cluster, or kubectl config use-context NAME"
    kubectl get --raw /readyz --request-timeout=10s >/dev/null 2>&1 ||
        fail "cluster of context $context: its API does not answer; start it, or kubectl config use-context NAME"
}

# installed KIND/NAME: whether this part is the chart's own.
installed() {
    [ -n "$(kubectl --namespace "$namespace" get "$1" --ignore-not-found --output name)" ]
}

# on KIND/NAME COMMAND…: run it in the part's container, with our standard input.
on() {
    local part=$1
    shift
    kubectl --namespace "$namespace" exec --quiet --stdin "$part" -- "$@"
}
