{{/* Values that the schema allows one by one and that contradict each other. */}}
{{- define "rlgen.checks" -}}
{{- $v := .Values -}}
{{- if not $v.images.stages -}}
{{- fail "images.stages is empty: set it to the image that images/build makes (make install does it)" -}}
{{- end -}}
{{- if and $v.mlflow.enabled (not $v.images.tracking) -}}
{{- fail "images.tracking is empty while mlflow.enabled: set it to the image that images/build makes (make install does it)" -}}
{{- end -}}
{{- if and $v.minio.enabled $v.store.endpoint -}}
{{- fail (printf "store.endpoint is %s while minio.enabled: set minio.enabled=false to use that store, or leave store.endpoint empty" $v.store.endpoint) -}}
{{- end -}}
{{- if not $v.minio.enabled -}}
{{- if not $v.store.endpoint -}}
{{- fail "minio.enabled=false and store.endpoint is empty: set store.endpoint to the S3 that exists, as https://s3.eu-central-1.amazonaws.com" -}}
{{- end -}}
{{- if not $v.store.existingSecret -}}
{{- fail "minio.enabled=false and store.existingSecret is empty: name a Secret with access-key and secret-key of the store (kubectl create secret generic)" -}}
{{- end -}}
{{- end -}}
{{- if and $v.mlflow.enabled $v.tracking.url -}}
{{- fail (printf "tracking.url is %s while mlflow.enabled: set mlflow.enabled=false to use that MLflow, or leave tracking.url empty" $v.tracking.url) -}}
{{- end -}}
{{- if and (not $v.mlflow.enabled) (not $v.tracking.url) -}}
{{- fail "mlflow.enabled=false and tracking.url is empty: set tracking.url to the MLflow that exists" -}}
{{- end -}}
{{- if and $v.postgres.enabled (not $v.mlflow.enabled) -}}
{{- fail "postgres.enabled while mlflow.enabled=false: nothing would use the database; set postgres.enabled=false" -}}
{{- end -}}
{{- if and $v.postgres.enabled $v.mlflow.databaseSecret -}}
{{- fail (printf "mlflow.databaseSecret is %s while postgres.enabled: set postgres.enabled=false to use that database, or leave mlflow.databaseSecret empty" $v.mlflow.databaseSecret) -}}
{{- end -}}
{{- if and $v.mlflow.enabled (not $v.postgres.enabled) (not $v.mlflow.databaseSecret) -}}
{{- fail "postgres.enabled=false and mlflow.databaseSecret is empty: name a Secret whose key uri is the database's address" -}}
{{- end -}}
{{- $external := or (not $v.minio.enabled) (not $v.mlflow.enabled) (not $v.postgres.enabled) -}}
{{- if and $v.networkPolicies.enabled $external (not $v.networkPolicies.egress) -}}
{{- fail "networkPolicies.egress is empty while a store, MLflow or database is external: say where it is, as [{to: [{ipBlock: {cidr: 10.1.2.3/32}}], ports: [{port: 443}]}]" -}}
{{- end -}}
{{- $cluster := lookup "v1" "ConfigMap" .Release.Namespace "kube-root-ca.crt" -}}
{{- if and $v.argo.enabled $cluster (not (.Capabilities.APIVersions.Has "argoproj.io/v1alpha1/Workflow")) -}}
{{- fail "this cluster has no Argo Workflows CRDs, which are too large for a Helm release: run platform/install, or kubectl apply --server-side -k 'https://github.com/argoproj/argo-workflows/manifests/base/crds/full?ref=v4.0.7'" -}}
{{- end -}}
{{- range $kind, $project := dict "kueue.x-k8s.io/v1beta2/ClusterQueue" "Kueue" "jobset.x-k8s.io/v1alpha2/JobSet" "JobSet" -}}
{{- if and $v.queues.enabled $cluster (not ($.Capabilities.APIVersions.Has $kind)) -}}
{{- fail (printf "queues.enabled and this cluster has no %s: run platform/queues (on the development cluster: make cluster QUEUES=1), or set queues.enabled=false" $project) -}}
{{- end -}}
{{- end -}}
{{- end }}
