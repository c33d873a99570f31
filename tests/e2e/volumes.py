"""A volume of the add-on that the journey brings with ``--addon-file``: claimed, mounted, written, and gone again."""

from __future__ import annotations

from pathlib import Path

from tests.e2e import cluster
from tests.lab import proof
from tests.lab.machine import Machine
from tests.lab.phases import Phase

ADDON_FILE = Path(__file__).parent / "folder-volumes.yaml"
NAMESPACE = "folder-volumes"
FOLDERS = "/opt/folder-volumes"
CLAIM = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: notes}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: folder
  resources: {requests: {storage: 1Mi}}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: writer, labels: {{app: writer}}}}
spec:
  nodeSelector: {{kubernetes.io/hostname: {node}}}
  automountServiceAccountToken: false
  containers:
    - name: writer
      image: docker.io/library/busybox:1.37.0
      command: ["/bin/sh", "-c", "echo written by a pod >/notes/one && sleep 1000000"]
      readinessProbe: {{exec: {{command: ["/bin/cat", "/notes/one"]}}, timeoutSeconds: 10}}
      volumeMounts: [{{name: notes, mountPath: /notes}}]
  volumes: [{{name: notes, persistentVolumeClaim: {{claimName: notes}}}}]
"""


def a_claim_becomes_a_folder(control_plane: Machine, worker: Machine, phase: Phase) -> None:
    """A pod on ``worker`` writes to a claim; what it wrote is in a folder there, and goes with the claim."""
    control_plane.write("/root/volume.yaml", f"{CLAIM}---\n{POD.format(node=worker.name)}".encode())
    cluster.kubectl(control_plane, "apply -f /root/volume.yaml")
    cluster.wait_for(
        "the pod that writes Ready", lambda: cluster.ready_pods(control_plane, "-l app=writer") == {"writer": True}
    )
    phase.say(cluster.kubectl(control_plane, "get persistentvolumeclaims"))
    phase.say(f"{worker.name}: {worker.must(f'grep -r . {FOLDERS}')}")
    cluster.kubectl(control_plane, "delete pod/writer pvc/notes --grace-period=1 --timeout=240s")
    cluster.wait_for("the folder removed", lambda: worker.must(f"ls {FOLDERS}") == "")
    phase.say(f"{worker.name}: {FOLDERS} is empty again; {proof.KUBECTL} delete pvc/notes was all")
