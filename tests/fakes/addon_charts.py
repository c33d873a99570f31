"""Charts of our own in the shapes of upstream's: sub-charts, definitions, images in arguments, certificates."""

from __future__ import annotations

from tests.fakes.charts import about, packed

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
_ARGO_VALUES = """global: {image: {repository: quay.io/argoproj/argocd, tag: ""}}
fullnameOverride: ""
redis-ha: {enabled: false, image: {repository: ecr-public.aws.com/docker/library/redis, tag: 8.2.3-alpine}}
"""
_ARGO_PARENT = """apiVersion: v2
name: argo-cd
version: 9.9.9
appVersion: v9.9.9
dependencies: [{name: redis-ha, version: 4.38.0, repository: "https://example.invalid/", condition: redis-ha.enabled}]
"""
_ARGO_OBJECTS = """apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Values.fullnameOverride }}-server, namespace: {{ .Release.Namespace }}}
spec:
  template:
    spec:
      containers:
      - name: server
        image: "{{ .Values.global.image.repository }}:{{ default .Chart.AppVersion .Values.global.image.tag }}"
---
apiVersion: batch/v1
kind: Job
metadata: {name: {{ .Values.fullnameOverride }}-redis-secret-init, annotations: {helm.sh/hook: pre-install}}
spec: {template: {spec: {containers: [{name: init, image: "example.org/hook:1"}]}}}
"""
_REDIS_HA = """apiVersion: apps/v1
kind: StatefulSet
metadata: {name: redis-ha}
spec: {template: {spec: {containers: [{name: redis, image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"}]}}}
"""
_LONGHORN_VALUES = """image:
  longhorn:
    manager: {registry: "", repository: longhornio/longhorn-manager, tag: v9.9.9}
    engine: {registry: "", repository: longhornio/longhorn-engine, tag: v9.9.9}
defaultSettings: {upgradeChecker: ~, allowCollectingLonghornUsageMetrics: ~}
preUpgradeChecker: {jobEnabled: true}
"""
_LONGHORN_OBJECTS = """{{- $images := .Values.image.longhorn }}
{{- $manager := printf "docker.io/%s:%s" $images.manager.repository $images.manager.tag }}
apiVersion: v1
kind: ConfigMap
metadata: {name: longhorn-default-setting}
data:
  default-setting.yaml: |
    {{- if not (kindIs "invalid" .Values.defaultSettings.upgradeChecker) }}
    upgrade-checker: {{ .Values.defaultSettings.upgradeChecker }}
    {{- end }}
    {{- if not (kindIs "invalid" .Values.defaultSettings.allowCollectingLonghornUsageMetrics) }}
    allow-collecting-longhorn-usage-metrics: {{ .Values.defaultSettings.allowCollectingLonghornUsageMetrics }}
    {{- end }}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: longhorn-manager}
spec:
  template:
    spec:
      containers:
      - name: longhorn-manager
        image: {{ $manager }}
        command:
        - --engine-image
        - docker.io/{{ $images.engine.repository }}:{{ $images.engine.tag }}
{{- if .Values.preUpgradeChecker.jobEnabled }}
---
apiVersion: batch/v1
kind: Job
metadata: {name: longhorn-pre-upgrade, annotations: {helm.sh/hook: pre-upgrade}}
spec: {template: {spec: {containers: [{name: check, image: {{ $manager }}}]}}}
{{- end }}
"""
_METRICS_VALUES = """image: {repository: registry.k8s.io/metrics-server/metrics-server, tag: ""}
defaultArgs: [--cert-dir=/tmp, --kubelet-use-node-status-port]
args: []
tls: {type: metrics-server}
"""
_METRICS_OBJECTS = """apiVersion: apps/v1
kind: Deployment
metadata: {name: metrics-server, namespace: {{ .Release.Namespace }}}
spec:
  template:
    spec:
      containers:
      - name: metrics-server
        image: "{{ .Values.image.repository }}:{{ default (printf "v%s" .Chart.AppVersion) .Values.image.tag }}"
        args: {{ toJson (concat .Values.defaultArgs .Values.args) }}
{{- if eq .Values.tls.type "helm" }}
---
{{- $certificate := genSelfSignedCert "metrics-server" nil nil 365 }}
apiVersion: v1
kind: Secret
metadata: {name: metrics-server}
data: {tls.crt: {{ $certificate.Cert | b64enc }}}
{{- end }}
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


def argo_cd() -> bytes:
    """A chart within a chart, which a condition leaves out, and a job that runs before the install."""
    return packed(
        {
            "argo-cd/Chart.yaml": _ARGO_PARENT,
            "argo-cd/values.yaml": _ARGO_VALUES,
            "argo-cd/templates/objects.yaml": _ARGO_OBJECTS,
            "argo-cd/charts/redis-ha/Chart.yaml": about("redis-ha", "4.38.0"),
            "argo-cd/charts/redis-ha/values.yaml": "image: {repository: example.org/redis, tag: '1'}\n",
            "argo-cd/charts/redis-ha/templates/objects.yaml": _REDIS_HA,
        }
    )


def longhorn() -> bytes:
    """A manager that is told by its command line which images to start, and asks the internet unless told otherwise."""
    return packed(
        {
            "longhorn/Chart.yaml": about("longhorn", "9.9.9"),
            "longhorn/values.yaml": _LONGHORN_VALUES,
            "longhorn/templates/objects.yaml": _LONGHORN_OBJECTS,
        }
    )


def metrics_server() -> bytes:
    """A list of arguments that a list of values is added to, and a certificate of Helm's own where it is wanted."""
    return packed(
        {
            "metrics-server/Chart.yaml": about("metrics-server", "9.9.9") + "appVersion: 9.9.9\n",
            "metrics-server/values.yaml": _METRICS_VALUES,
            "metrics-server/templates/objects.yaml": _METRICS_OBJECTS,
        }
    )


def of_objects(name: str, version: str, objects: str) -> bytes:
    """A chart that is nothing but the template ``objects``."""
    return packed({f"{name}/Chart.yaml": about(name, version), f"{name}/templates/objects.yaml": objects})
