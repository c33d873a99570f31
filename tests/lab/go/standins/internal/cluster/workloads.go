package cluster

import "strings"

const cniFolder = "/etc/cni/net.d"

// workload is what we use of a DaemonSet or a Deployment.
type workload struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Replicas *int `json:"replicas"`
		Template struct {
			Spec struct {
				InitContainers []container `json:"initContainers"`
				Containers     []container `json:"containers"`
				Volumes        []struct {
					HostPath struct {
						Path string `json:"path"`
					} `json:"hostPath"`
				} `json:"volumes"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

type container struct {
	Image string `json:"image"`
}

// node is what we use of a Node.
type node struct {
	Status struct {
		Images []Image `json:"images"`
	} `json:"status"`
}

// Image is an image that a node has, under each of its names.
type Image struct {
	Names []string `json:"names"`
}

// withStatus is the object as the API shows it. No pod is ever started: one is taken to be ready where its node has
// every image it names, so that an image which the bundle lacks shows as it does in a real cluster.
func (s *Server) withStatus(object Object) Object {
	kind := Text(object, "kind")
	if kind != "DaemonSet" && kind != "Deployment" {
		return object
	}
	wanted, able := s.count(object)
	shown := Object{}
	for key, value := range object {
		shown[key] = value
	}
	if kind == "DaemonSet" {
		shown["status"] = Object{
			"observedGeneration": 1, "desiredNumberScheduled": wanted, "currentNumberScheduled": wanted,
			"updatedNumberScheduled": wanted, "numberReady": able, "numberAvailable": able,
		}
		return shown
	}
	shown["status"] = Object{
		"observedGeneration": 1, "replicas": wanted, "updatedReplicas": wanted, "readyReplicas": able, "availableReplicas": able,
	}
	return shown
}

// count is how many pods a workload wants, and how many would run.
func (s *Server) count(object Object) (wanted, able int) {
	var made workload
	if err := Into(object, &made); err != nil {
		return 1, 0
	}
	for _, path := range s.paths(Resource{APIVersion: "v1", Kind: "Node"}) {
		var machine node
		if err := Into(s.state.Objects[path], &machine); err != nil {
			continue
		}
		wanted++
		if made.runsWith(machine.Status.Images) {
			able++
		}
	}
	if made.Kind == "DaemonSet" {
		return wanted, able
	}
	wanted = 1
	if made.Spec.Replicas != nil {
		wanted = *made.Spec.Replicas
	}
	if able > 0 {
		return wanted, wanted
	}
	return wanted, 0
}

// runsWith tells whether every image of the workload's pods is among those of a node.
func (w workload) runsWith(images []Image) bool {
	names := map[string]bool{}
	for _, image := range images {
		for _, name := range image.Names {
			names[name] = true
		}
	}
	pod := w.Spec.Template.Spec
	for _, part := range append(append([]container{}, pod.InitContainers...), pod.Containers...) {
		if !names[stored(part.Image)] {
			return false
		}
	}
	return true
}

// stored is the name by which a runtime looks an image up: where there is a digest, the tag says nothing.
func stored(image string) string {
	name, digest, pinned := strings.Cut(image, "@")
	if !pinned {
		return image
	}
	slash := strings.LastIndex(name, "/")
	repository, _, _ := strings.Cut(name[slash+1:], ":")
	return name[:slash+1] + repository + "@" + digest
}

// Connects is the name of the DaemonSet that would connect the pods of a node with these images: one that runs there
// and writes the runtime's network configuration. It is empty while there is none.
func Connects(daemonSets []Object, images []Image) string {
	for _, object := range daemonSets {
		var made workload
		if err := Into(object, &made); err != nil || !made.runsWith(images) {
			continue
		}
		for _, volume := range made.Spec.Template.Spec.Volumes {
			if volume.HostPath.Path == cniFolder {
				return made.Metadata.Name
			}
		}
	}
	return ""
}
