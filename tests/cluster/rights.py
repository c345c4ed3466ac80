"""What a service account may do, as the API server sums it up for the account itself."""

from collections import defaultdict

from kubernetes import client

# What everybody who has a name may ask: who am I, what may I.
ASKING = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}


def as_account(admin: client.ApiClient, token: str) -> client.ApiClient:
    """The API server as the owner of `token` sees it."""
    ours = admin.configuration
    settings = client.Configuration(host=ours.host)
    settings.ssl_ca_cert, settings.verify_ssl = ours.ssl_ca_cert, ours.verify_ssl
    settings.api_key = {"authorization": f"Bearer {token}"}
    return client.ApiClient(settings)


def rights(account: client.ApiClient, namespace: str) -> dict[str, set[str]]:
    """The verbs that the account may use in a namespace, by `resource.group`."""
    review = client.V1SelfSubjectRulesReview(spec=client.V1SelfSubjectRulesReviewSpec(namespace=namespace))
    status = client.AuthorizationV1Api(account).create_self_subject_rules_review(review).status
    assert not status.incomplete, status.evaluation_error
    found: dict[str, set[str]] = defaultdict(set)
    for rule in status.resource_rules:
        assert not rule.resource_names, rule
        for resource in set(rule.resources) - ASKING:
            for group in rule.api_groups:
                found[f"{resource}.{group}".removesuffix(".")] |= set(rule.verbs)
    return dict(found)
