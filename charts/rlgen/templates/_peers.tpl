{{/* Parts of network policies. */}}
{{- define "rlgen.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "rlgen.metadata" . | nindent 2 }}
spec:
{{- end }}

{{/* The pods of a component of this release. Argument: a dict of root and component. */}}
{{- define "rlgen.peer" -}}
podSelector:
  matchLabels: {{- include "rlgen.selector" . | nindent 4 }}
{{- end }}

{{/* The pods of workflows, the executor's containers in them included. */}}
{{- define "rlgen.workflowPods" -}}
matchExpressions:
  - {key: workflows.argoproj.io/workflow, operator: Exists}
{{- end }}

{{/* The pods of stages that run on several nodes. */}}
{{- define "rlgen.gangPods" -}}
matchExpressions:
  - {key: rlgen-k8s/gang, operator: Exists}
{{- end }}

{{/* Egress to the API server: where its endpoints are now, both before and after the Service's translation. */}}
{{- define "rlgen.apiServerEgress" -}}
{{- $found := .Values.networkPolicies.apiServer }}
{{- if not $found }}
{{- $service := lookup "v1" "Service" "default" "kubernetes" }}
{{- with $service }}
{{- $found = append $found (dict "cidr" (printf "%s/32" .spec.clusterIP) "port" 443) }}
{{- end }}
{{- $slice := lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes" }}
{{- with $slice }}
{{- $port := (first .ports).port }}
{{- range .endpoints }}
{{- range .addresses }}
{{- $found = append $found (dict "cidr" (printf "%s/32" .) "port" $port) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if not $found }}
{{- range $cidr := list "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16" }}
{{- range $port := list 443 6443 }}
{{- $found = append $found (dict "cidr" $cidr "port" $port) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $found }}
- to:
    - ipBlock: {cidr: {{ .cidr }}}
  ports:
    - {port: {{ .port }}}
{{- end }}
{{- end }}

{{/* Ingress from outside the namespace: from anywhere through a node port, else from networkPolicies.ingressFrom.
     Argument: a dict of root, port and nodePort. */}}
{{- define "rlgen.outsideIngress" -}}
{{- $from := .root.Values.networkPolicies.ingressFrom }}
{{- if .nodePort }}
- ports:
    - {port: {{ .port }}}
{{- else if $from }}
- from: {{- toYaml $from | nindent 4 }}
  ports:
    - {port: {{ .port }}}
{{- end }}
{{- end }}
