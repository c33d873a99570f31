package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

const runtimeTimeout = 30 * time.Second

var errNoNetwork = errors.New("container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized")

// node is what the kubelet reports about its machine.
type node struct {
	name, address, endpoint string
	isControlPlane          bool
	created                 time.Time
}

func newNode(name, address string, config *settings) *node {
	if name == "" {
		// A machine without a name is the kubelet's failure, too: an empty name is refused by the API below.
		name, _ = os.Hostname()
	}
	_, err := os.Stat(filepath.Join(config.StaticPodPath, "kube-apiserver.yaml"))
	return &node{strings.ToLower(name), address, config.ContainerRuntimeEndpoint, err == nil, time.Now()}
}

// report keeps the node's entry fresh; while the API cannot be reached it says so and goes on.
func report(machine *node, path string) {
	for {
		client, err := kubeconfig.Open(path)
		if err == nil {
			err = client.Do("PUT", cluster.NodesPath+"/"+machine.name, machine.object(client), nil)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "E \"Unable to register node with API server\" err=%q node=%q\n", err, machine.name)
		}
		time.Sleep(reportEvery)
	}
}

func (n *node) object(client *kubeconfig.Client) cluster.Object {
	labels := map[string]string{"kubernetes.io/hostname": n.name, "kubernetes.io/os": "linux"}
	taints := []map[string]string{}
	if n.isControlPlane {
		labels["node-role.kubernetes.io/control-plane"] = ""
		taints = append(taints, map[string]string{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"})
	}
	images, err := n.images()
	if err != nil {
		err = fmt.Errorf("container runtime is down: %w", err)
	} else {
		err = network(client, images)
	}
	ready := map[string]string{
		"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status (" + release.Notice + ")",
	}
	if err != nil {
		ready["status"], ready["reason"], ready["message"] = "False", "KubeletNotReady", err.Error()
	}
	return cluster.Object{
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
			"conditions": []map[string]string{ready},
			"images":     images,
			"nodeInfo":   map[string]string{"kubeletVersion": release.Version, "operatingSystem": "linux"},
		},
	}
}

// images is what the container runtime has.
func (n *node) images() ([]cluster.Image, error) {
	connection, err := grpc.NewClient(n.endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), runtimeTimeout)
	defer cancel()
	answer, err := cri.NewImageServiceClient(connection).ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return nil, err
	}
	found := []cluster.Image{}
	for _, image := range answer.Images {
		found = append(found, cluster.Image{Names: append(append([]string{}, image.RepoDigests...), image.RepoTags...)})
	}
	return found, nil
}

// network is nil where pods would be connected: there is a configuration for the runtime, or a DaemonSet whose pod would
// write one runs here. The stand-in starts no pod and writes none itself.
func network(client *kubeconfig.Client, images []cluster.Image) error {
	if found, err := filepath.Glob("/etc/cni/net.d/*.conf*"); err == nil && len(found) > 0 {
		return nil
	}
	daemonSets, _ := cluster.ResourceNamed("daemonsets")
	var listed struct {
		Items []cluster.Object `json:"items"`
	}
	if err := client.Do("GET", daemonSets.Path(""), nil, &listed); err != nil || cluster.Connects(listed.Items, images) == "" {
		return errNoNetwork
	}
	return nil
}
