{{/* Labels of every object. Argument: a dict of root and component. */}}
{{- define "rlgen.labels" -}}
{{ include "rlgen.selector" . }}
app.kubernetes.io/part-of: rlgen
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "rlgen.selector" -}}
app.kubernetes.io/name: rlgen
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Metadata of an object. Argument: a dict of root, component and name; keep: it outlives the release. */}}
{{- define "rlgen.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "rlgen.labels" . | nindent 2 }}
{{- if .keep }}
annotations:
  helm.sh/resource-policy: keep
{{- end }}
{{- end }}

{{/* The same of an object outside namespaces: `rlgen-x` is x of our namespace there. */}}
{{- define "rlgen.clusterMetadata" -}}
name: {{ .root.Release.Namespace }}-{{ trimPrefix "rlgen-" .name }}
labels: {{- include "rlgen.labels" . | nindent 2 }}
{{- end }}

{{/* What every pod has beside its containers. Images differ in their users, so the user is set here. */}}
{{- define "rlgen.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rlgen.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* A claim that outlives the release. Argument: a dict of root, component, name and the part's values. */}}
{{- define "rlgen.claim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{- include "rlgen.metadata" (dict "root" .root "component" .component "name" .name "keep" true) | nindent 2 }}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .values.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .values.size }}
{{- end }}

{{/* A service of one port. Argument: a dict of root, component, name, port and nodePort (0: none). */}}
{{- define "rlgen.service" -}}
apiVersion: v1
kind: Service
metadata: {{- include "rlgen.metadata" . | nindent 2 }}
spec:
  type: {{ if .nodePort }}NodePort{{ else }}ClusterIP{{ end }}
  selector: {{- include "rlgen.selector" . | nindent 4 }}
  ports:
    - name: {{ .component }}
      port: {{ .port }}
      targetPort: {{ .component }}
      {{- if .nodePort }}
      nodePort: {{ .nodePort }}
      {{- end }}
{{- end }}

{{/* The value of a Secret's key as it is in the cluster, else a new one, in base64. Argument: a dict of root, name, key
     and default. */}}
{{- define "rlgen.kept" -}}
{{- $secret := lookup "v1" "Secret" .root.Release.Namespace .name | default dict -}}
{{- get (get $secret "data" | default dict) .key | default (.default | b64enc) -}}
{{- end }}
