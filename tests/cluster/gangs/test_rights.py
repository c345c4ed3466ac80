"""What the account of the launchers, the only one of a study that may create anything, can do with the API server."""

from tests.cluster.rights import as_account, rights


def test_the_launcher_s_account_may_handle_jobsets_and_look_at_their_pods_and_nothing_else(cluster, platform):
    account = platform.launcher_service_account
    asked = {"spec": {"expirationSeconds": 600}}
    token = cluster.core.create_namespaced_service_account_token(account, cluster.namespace, asked).status.token
    launcher = as_account(cluster.core.api_client, token)

    may = {one.metadata.name: rights(launcher, one.metadata.name) for one in cluster.core.list_namespace().items}

    assert may.pop(cluster.namespace) == {
        "jobsets.jobset.x-k8s.io": {"create", "get", "list", "watch", "patch", "delete"},
        "workloads.kueue.x-k8s.io": {"list"},
        "pods": {"list"},
        "pods/log": {"get"},
    }
    assert may, "expected other namespaces beside the platform's"
    assert not any(may.values()), may
