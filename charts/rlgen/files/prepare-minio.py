"""Make the bucket and the stages' user, who may read and write that bucket and nothing else. Safe to run again."""

import os
import sys
import time

from minio import Minio
from minio.credentials import StaticProvider
from minio.minioadmin import MinioAdmin
from urllib3.exceptions import HTTPError

endpoint, bucket = sys.argv[1:]
root = StaticProvider(os.environ["ROOT_USER"], os.environ["ROOT_PASSWORD"])
user = os.environ["STAGES_USER"]
store = Minio(endpoint, credentials=root, secure=False)
admin = MinioAdmin(endpoint=endpoint, credentials=root, secure=False)

deadline = time.monotonic() + 300
while True:
    try:
        exists = store.bucket_exists(bucket)
        break
    except HTTPError as error:
        if time.monotonic() > deadline:
            sys.exit(f"MinIO at {endpoint} did not answer for 5 minutes: {error}")

if not exists:
    store.make_bucket(bucket)

policy = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
            "Resource": [f"arn:aws:s3:::{bucket}"],
        },
        {
            "Effect": "Allow",
            "Action": [
                "s3:GetObject",
                "s3:PutObject",
                "s3:DeleteObject",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
            "Resource": [f"arn:aws:s3:::{bucket}/*"],
        },
    ],
}
admin.policy_add("rlgen-stages", policy=policy)
admin.user_add(user, os.environ["STAGES_PASSWORD"])
admin.policy_set("rlgen-stages", user=user)
print(f"bucket {bucket} {'was there' if exists else 'made'}; {user} may use it")
