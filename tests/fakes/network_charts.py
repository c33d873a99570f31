"""Charts of our own in the shapes of the pod networks': how they put images together and what they make anew."""

from __future__ import annotations

from tests.fakes.charts import about, packed

DIGEST = "sha256:" + "5e" * 32
_CILIUM_VALUES = f"""image: {{repository: quay.io/cilium/cilium, tag: v9.9.9, digest: "{DIGEST}", useDigest: true}}
operator:
  replicas: 2
  image: {{repository: quay.io/cilium/operator, suffix: "", tag: v9.9.9, genericDigest: "{DIGEST}", useDigest: true}}
envoy:
  enabled: null
  image: {{repository: quay.io/cilium/cilium-envoy, tag: v1.36.9-1782267392-edeb, digest: "{DIGEST}", useDigest: true}}
hubble:
  enabled: true
  relay: {{enabled: false, image: {{repository: quay.io/cilium/hubble-relay, tag: v9.9.9}}}}
routingMode: ""
tunnelProtocol: ""
kubeProxyReplacement: "false"
k8sServiceHost: ""
k8sServicePort: ""
cni: {{exclusive: true}}
ipam:
  mode: cluster-pool
  operator: {{clusterPoolIPv4PodCIDRList: ["10.0.0.0/8"], clusterPoolIPv4MaskSize: 24}}
"""
_CILIUM_HELPERS = """{{- define "image" -}}
{{- printf "%s:%s" .repository .tag -}}{{- if .useDigest }}@{{ .digest }}{{- end -}}
{{- end -}}
{{- define "operatorImage" -}}
{{- printf "%s-generic%s:%s" .repository .suffix .tag -}}{{- if .useDigest }}@{{ .genericDigest }}{{- end -}}
{{- end -}}
"""
_CILIUM_OBJECTS = """apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: {{ .Release.Namespace }}}
data:
  routing-mode: {{ .Values.routingMode | quote }}
  tunnel-protocol: {{ .Values.tunnelProtocol | quote }}
  ipam: {{ .Values.ipam.mode | quote }}
  cluster-pool-ipv4-cidr: {{ join " " .Values.ipam.operator.clusterPoolIPv4PodCIDRList | quote }}
  kube-proxy-replacement: {{ .Values.kubeProxyReplacement | quote }}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: cilium, namespace: {{ .Release.Namespace }}}
spec:
  template:
    spec:
      initContainers: [{name: config, image: {{ include "image" .Values.image | quote }}}]
      containers:
      - name: cilium-agent
        image: {{ include "image" .Values.image | quote }}
        env:
        - {name: KUBERNETES_SERVICE_HOST, value: {{ .Values.k8sServiceHost | quote }}}
        - {name: KUBERNETES_SERVICE_PORT, value: {{ .Values.k8sServicePort | quote }}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cilium-operator, namespace: {{ .Release.Namespace }}}
spec:
  replicas: {{ .Values.operator.replicas }}
  template:
    spec: {containers: [{name: operator, image: {{ include "operatorImage" .Values.operator.image | quote }}}]}
{{- if .Values.envoy.enabled }}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: cilium-envoy, namespace: {{ .Release.Namespace }}}
spec: {template: {spec: {containers: [{name: envoy, image: {{ include "image" .Values.envoy.image | quote }}}]}}}
{{- end }}
{{- if .Values.hubble.enabled }}
---
{{- $ca := genCA "hubble" 365 }}
apiVersion: v1
kind: Secret
metadata: {name: hubble-server-certs, namespace: {{ .Release.Namespace }}}
data: {ca.crt: {{ $ca.Cert | b64enc }}}
{{- end }}
"""


def cilium(version: str = "9.9.9") -> bytes:
    """Digest-pinned images under names put together in templates, and certificates made anew by every render."""
    return packed(
        {
            "cilium/Chart.yaml": about("cilium", version) + 'kubeVersion: ">= 1.21.0-0"\n',
            "cilium/values.yaml": _CILIUM_VALUES,
            "cilium/templates/_helpers.tpl": _CILIUM_HELPERS,
            "cilium/templates/objects.yaml": _CILIUM_OBJECTS,
        }
    )


_CALICO_VALUES = """installation: {enabled: true, kubernetesProvider: "", imagePullSecrets: []}
apiServer: {enabled: true}
goldmane: {enabled: true}
whisker: {enabled: true}
tigeraOperator: {image: tigera/operator, version: v9.9.9, registry: quay.io}
calicoctl: {image: docker.io/calico/ctl, tag: v9.9.9}
kubeletVolumePluginPath: /var/lib/kubelet
kubernetesServiceEndpoint: {host: "", port: "6443"}
"""
_CALICO_OBJECTS = """{{- $spec := omit .Values.installation "enabled" }}
{{- $_ := set $spec "kubeletVolumePluginPath" .Values.kubeletVolumePluginPath }}
apiVersion: operator.tigera.io/v1
kind: Installation
metadata: {name: default}
spec:
{{ $spec | toYaml | indent 2 }}
{{- range $kind := list "Goldmane" "Whisker" }}
{{- if (index $.Values (lower $kind)).enabled }}
---
apiVersion: operator.tigera.io/v1
kind: {{ $kind }}
metadata: {name: default}
{{- end }}
{{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: tigera-operator, namespace: {{ .Release.Namespace }}}
spec:
  template:
    spec:
      containers:
      {{- with .Values.tigeraOperator }}
      - {name: operator, image: "{{ .registry }}/{{ .image }}:{{ .version }}"}
      {{- end }}
{{- if .Values.kubernetesServiceEndpoint.host }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kubernetes-services-endpoint, namespace: {{ .Release.Namespace }}}
data: {KUBERNETES_SERVICE_HOST: {{ .Values.kubernetesServiceEndpoint.host | quote }}}
{{- end }}
"""
_CALICO_DEFINITION = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: imagesets.operator.tigera.io}
spec:
  versions:
  - schema:
      openAPIV3Schema:
        properties: {spec: {properties: {images: {items: {properties: {image: {type: string}}}}}}}
        example: {image: "name of an image, as calico/node"}
"""


def calico(version: str = "v9.9.9") -> bytes:
    """An operator with its images compiled in: the chart names only its own, and definitions speak of images."""
    return packed(
        {
            "tigera-operator/Chart.yaml": about("tigera-operator", version),
            "tigera-operator/values.yaml": _CALICO_VALUES,
            "tigera-operator/crds/imagesets.yaml": _CALICO_DEFINITION,
            "tigera-operator/templates/objects.yaml": _CALICO_OBJECTS,
        }
    )
