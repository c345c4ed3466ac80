"""The images in pods that may write nowhere but in `/tmp`, as a user that no image knows."""

import pytest

STRANGER = 12345
LIBRARIES = (
    "datasets deepspeed llamafactory lm_eval math_verify matplotlib.pyplot minio mlflow ray torch transformers verl"
)
OPERATOR = "from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder; ShareMemCommBuilder().load()"
DATABASE = """
set -e
serve() {
    docker-entrypoint.sh postgres > /tmp/log 2>&1 &
    until pg_isready -q -h 127.0.0.1; do kill -0 $! || { cat /tmp/log; exit 1; }; done
}
ask() { PGPASSWORD=$POSTGRES_PASSWORD psql -h 127.0.0.1 -U runs -d mlflow -Atc "$1"; }
serve
ask "create table kept as select 42 as number"
kill -INT $! && wait
serve
ask "select number from kept"
PGPASSWORD=wrong psql -h 127.0.0.1 -U runs -d mlflow -c "select 1" && exit 1
kill -INT $! && wait
"""


def test_the_stages_command_starts(pods):
    ended = pods.run("stages", "--help", user=STRANGER)
    assert ended.code == 0
    assert "--stage" in ended.output


@pytest.mark.parametrize("name", ["base", "stages", "tracking", "database"])
def test_no_file_gives_rights_and_none_can_be_changed(pods, name):
    search = r"find / -xdev -path /tmp -prune -o \( -type f -perm /6000 -o -writable ! -type l \) -print"
    ended = pods.run(name, "-c", f"{search} 2> /dev/null; id -u", command="sh")
    assert ended.output == "65532\n"


def test_the_trainers_libraries_load(pods):
    imports = "; ".join(f"import {library}" for library in LIBRARIES.split())
    ended = pods.run("stages", "-c", imports, command="python", user=STRANGER)
    assert ended.code == 0, ended.output


def test_deepspeeds_operator_for_cpus_finds_its_compiler(pods):
    ended = pods.run("stages", "-c", OPERATOR, command="python", user=STRANGER, DS_ACCELERATOR="cpu")
    assert ended.code == 0, ended.output


def test_the_tracking_server_and_its_driver_load(pods):
    ended = pods.run("tracking", "-c", "import minio, mlflow.server, psycopg", command="python", user=STRANGER)
    assert ended.code == 0, ended.output
    assert "--backend-store-uri" in pods.run("tracking", "--help", user=STRANGER).output


def test_the_database_starts_empty_keeps_its_data_and_asks_for_the_password(pods):
    ended = pods.run(
        "database",
        "-c",
        DATABASE,
        command="sh",
        POSTGRES_USER="runs",
        POSTGRES_PASSWORD="it's a secret",
        POSTGRES_DB="mlflow",
        PGDATA="/tmp/data",
    )
    assert ended.code == 0, ended.output
    assert "42" in ended.output.splitlines()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("minio", ["--version"]),
        ("workflow-controller", ["version"]),
        ("argocli", ["version", "--short"]),
        ("argoexec", ["version"]),
    ],
)
def test_a_binary_starts(pods, name, arguments):
    ended = pods.run(name, *arguments, user=STRANGER)
    assert ended.code == 0, ended.output
