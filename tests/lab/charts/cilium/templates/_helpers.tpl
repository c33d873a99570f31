{{/* The reference of an image, with its digest where that is to be used. */}}
{{- define "lab.image" -}}
{{- $digest := ternary (printf "@%s" .digest) "" .useDigest -}}
{{- default (printf "%s:%s%s" .repository .tag $digest) .override -}}
{{- end -}}

{{/* The operator's image has a name and a digest for each cloud; ours is the generic one. */}}
{{- define "lab.operator.image" -}}
{{- $digest := ternary (printf "@%s" .genericDigest) "" .useDigest -}}
{{- default (printf "%s-generic%s:%s%s" .repository .suffix .tag $digest) .override -}}
{{- end -}}

{{/* Whether the proxy is a DaemonSet of its own: "true", or nothing. */}}
{{- define "lab.envoy" -}}
{{- if eq .Values.envoy.enabled nil -}}
{{- if .Values.l7Proxy }}true{{ end -}}
{{- else if .Values.envoy.enabled -}}
true
{{- end -}}
{{- end -}}

{{/* Where the API is, for pods that start before services work. */}}
{{- define "lab.api" -}}
{{- if .Values.k8sServiceHost }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .Values.k8sServiceHost | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .Values.k8sServicePort | default "6443" | quote }}
{{- end }}
{{- end -}}
