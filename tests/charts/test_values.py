import pytest
import yaml


def test_the_defaults_are_complete_but_for_the_images(refuse, template):
    assert "images.stages is empty" in refuse("--set", "images.stages=")
    assert "images.tracking is empty" in refuse("--set", "images.tracking=")
    assert template(None).returncode == 0


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("colour=blue", "colour"),
        ("minio.sise=1Gi", "sise"),
        ("argo.server.port=1", "port"),
        ("argo.controller.resources.request.cpu=1", "request"),
        ("images.mino=a:1", "mino"),
        ("store.secretKey=abc", "secretKey"),
        ("networkPolicies.egres=1", "egres"),
        ("global.a=1", "global"),
    ],
)
def test_an_unknown_value_is_refused_by_name(refuse, setting, named):
    assert named in refuse("--set", setting)


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("minio.enabled=yes", "/minio/enabled"),
        ("minio.size=big", "/minio/size"),
        ("minio.nodePort=80", "/minio/nodePort"),
        ("minio.nodePort=x", "/minio/nodePort"),
        ("minio.storageClass=Fast Disk", "/minio/storageClass"),
        ("argo.server.authMode=none", "/argo/server/authMode"),
        ("argo.controller.replicas=0", "/argo/controller/replicas"),
        ("argo.controller.requeueTime=5", "/argo/controller/requeueTime"),
        ("images.minio=minio", "/images/minio"),
        ("images.stages=registry.test/stages", "/images/stages"),
        ("public.store=10.0.0.5:30900", "/public/store"),
        ("public.tracking=http://a/b", "/public/tracking"),
        ("store.bucket=My_Bucket", "/store/bucket"),
        ("store.prefix=/results/", "/store/prefix"),
        ("mlflow.allowedHosts={a\\,b}", "/mlflow/allowedHosts"),
        ("quota.pods=many", "/quota"),
        ("imagePullPolicy=Sometimes", "/imagePullPolicy"),
        ("networkPolicies.dnsPorts={}", "/networkPolicies/dnsPorts"),
        ("networkPolicies.apiServer[0].cidr=10.0.0.1", "/networkPolicies/apiServer/0"),
        ("networkPolicies.ingressFrom[0].ip=10.0.0.1", "/networkPolicies/ingressFrom/0"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_at_its_place(refuse, setting, path):
    assert path in refuse("--set", setting)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["minio.enabled=false"], "minio.enabled=false and store.endpoint is empty: set store.endpoint"),
        (["minio.enabled=false", "store.endpoint=https://s3.test"], "store.existingSecret is empty: name a Secret"),
        (["store.endpoint=https://s3.test"], "store.endpoint is https://s3.test while minio.enabled"),
        (["mlflow.enabled=false", "postgres.enabled=false"], "mlflow.enabled=false and tracking.url is empty"),
        (["mlflow.enabled=false", "tracking.url=https://mlflow.test"], "nothing would use the database"),
        (["tracking.url=https://mlflow.test"], "tracking.url is https://mlflow.test while mlflow.enabled"),
        (["postgres.enabled=false"], "postgres.enabled=false and mlflow.databaseSecret is empty"),
        (["mlflow.databaseSecret=mine"], "mlflow.databaseSecret is mine while postgres.enabled"),
        (["postgres.enabled=false", "mlflow.databaseSecret=mine"], "networkPolicies.egress is empty"),
    ],
)
def test_values_that_contradict_each_other_are_refused_with_what_to_do(refuse, settings, message):
    said = refuse(*(word for setting in settings for word in ("--set", setting)))
    assert message in " ".join(said.split())


def test_the_schema_knows_every_default(request):
    """A value without a schema would be refused, a schema without a value would never be used."""
    chart = request.path.parents[2] / "charts/rlgen"
    schema = yaml.safe_load((chart / "values.schema.json").read_text())

    def walk(values, described, path):
        if "properties" not in described:
            return
        assert values.keys() == described["properties"].keys(), path
        for key, value in values.items():
            walk(value, described["properties"][key], f"{path}/{key}")

    walk(yaml.safe_load((chart / "values.yaml").read_text()), schema, "")
