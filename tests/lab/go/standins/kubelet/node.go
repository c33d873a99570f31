package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

// node is what the kubelet reports about its machine.
type node struct {
	name, address, socket string
	isControlPlane        bool
	created               time.Time
}

func newNode(name, address string, config *settings) *node {
	if name == "" {
		// A machine without a name is the kubelet's failure, too: an empty name is refused by the API below.
		name, _ = os.Hostname()
	}
	_, err := os.Stat(filepath.Join(config.StaticPodPath, "kube-apiserver.yaml"))
	socket := strings.TrimPrefix(config.ContainerRuntimeEndpoint, "unix://")
	return &node{strings.ToLower(name), address, socket, err == nil, time.Now()}
}

// report keeps the node's entry fresh; while the API cannot be reached it says so and goes on.
func report(machine *node, path string) {
	for {
		client, err := kubeconfig.Open(path)
		if err == nil {
			err = client.Do("PUT", cluster.NodesPath+"/"+machine.name, machine.object(), nil)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "E \"Unable to register node with API server\" err=%q node=%q\n", err, machine.name)
		}
		time.Sleep(reportEvery)
	}
}

func (n *node) object() map[string]any {
	labels := map[string]string{"kubernetes.io/hostname": n.name, "kubernetes.io/os": "linux"}
	taints := []map[string]string{}
	if n.isControlPlane {
		labels["node-role.kubernetes.io/control-plane"] = ""
		taints = append(taints, map[string]string{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"})
	}
	status, reason, message := n.ready()
	return map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"metadata": map[string]any{
			"name": n.name, "labels": labels, "creationTimestamp": n.created.UTC().Format(time.RFC3339),
			"annotations": map[string]string{"airgap-bundle.lab/notice": release.Notice},
		},
		"spec": map[string]any{"taints": taints},
		"status": map[string]any{
			"addresses": []map[string]string{
				{"type": "InternalIP", "address": n.address}, {"type": "Hostname", "address": n.name},
			},
			"conditions": []map[string]string{{"type": "Ready", "status": status, "reason": reason, "message": message}},
			"nodeInfo":   map[string]string{"kubeletVersion": release.Version, "operatingSystem": "linux"},
		},
	}
}

// ready is the Ready condition: a runtime that answers, and a network configuration for it.
func (n *node) ready() (status, reason, message string) {
	connection, err := net.Dial("unix", n.socket)
	if err != nil {
		return "False", "KubeletNotReady", "container runtime is down: " + err.Error()
	}
	connection.Close()
	found, err := filepath.Glob("/etc/cni/net.d/*.conf*")
	if err != nil || len(found) == 0 {
		return "False", "KubeletNotReady", "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"
	}
	return "True", "KubeletReady", "kubelet is posting ready status (" + release.Notice + ")"
}
