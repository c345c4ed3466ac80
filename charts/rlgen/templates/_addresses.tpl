{{/* Where things are, whichever of them this chart installs. */}}
{{- define "rlgen.storeEndpoint" -}}
{{- if .Values.minio.enabled -}}
http://rlgen-minio.{{ .Release.Namespace }}.svc:9000
{{- else -}}
{{ .Values.store.endpoint }}
{{- end -}}
{{- end }}

{{/* The address of the store with an endpoint. Argument: a dict of root and endpoint. */}}
{{- define "rlgen.storeAddress" -}}
{{- $store := .root.Values.store -}}
s3://{{ $store.bucket }}/{{ $store.prefix }}?endpoint={{ .endpoint }}{{ with $store.region }}&region={{ . }}{{ end }}
{{- end }}

{{- define "rlgen.storeSecret" -}}
{{ .Values.store.existingSecret | default "rlgen-store" }}
{{- end }}

{{- define "rlgen.trackingUrl" -}}
{{- if .Values.mlflow.enabled -}}
http://rlgen-mlflow.{{ .Release.Namespace }}.svc:5000
{{- else -}}
{{ .Values.tracking.url }}
{{- end -}}
{{- end }}

{{- define "rlgen.databaseSecret" -}}
{{ .Values.mlflow.databaseSecret | default "rlgen-postgres" }}
{{- end }}

{{/* Argo's UI once its port is forwarded; empty where this chart installs none. */}}
{{- define "rlgen.argoForwarded" -}}
{{- if and .Values.argo.enabled .Values.argo.server.enabled -}}
{{ .Values.argo.server.tls | ternary "https" "http" }}://localhost:2746
{{- end -}}
{{- end }}
