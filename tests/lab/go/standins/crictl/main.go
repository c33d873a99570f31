// Command crictl stands in for crictl: it asks a real runtime over CRI, and prints JSON as crictl does. It is here because
// crictl itself needs much of Kubernetes to compile. Starting and ending containers is not for it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sort"
	"time"

	"github.com/gogo/protobuf/jsonpb"
	"github.com/gogo/protobuf/proto"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"gopkg.in/yaml.v3"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"airgap-bundle/tests/lab/go/standins/internal/release"
)

const (
	configPath = "/etc/crictl.yaml"
	timeout    = 30 * time.Second
)

// crictlVersion is linked in.
var crictlVersion = "unknown"

func main() {
	root := &cobra.Command{Use: "crictl", SilenceUsage: true, SilenceErrors: true}
	root.Version = "v" + crictlVersion
	root.SetVersionTemplate("crictl version {{.Version}} (" + release.Notice + ")\n")
	root.PersistentFlags().StringP("runtime-endpoint", "r", "", "socket")
	root.PersistentFlags().StringP("image-endpoint", "i", "", "socket")
	root.AddCommand(
		leaf("info", cobra.NoArgs, info), leaf("inspecti IMAGE", cobra.ExactArgs(1), inspect),
		leaf("images", cobra.NoArgs, images), leaf("pods", cobra.NoArgs, pods), leaf("ps", cobra.NoArgs, containers),
		leaf("version", cobra.NoArgs, version), leaf("pull IMAGE", cobra.ExactArgs(1), pull),
	)
	if err := root.Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "E %v\n", err)
		os.Exit(1)
	}
}

// client is a runtime that can be asked.
type client struct {
	cri.RuntimeServiceClient
	cri.ImageServiceClient
	context context.Context
	all     bool
}

func leaf(use string, args cobra.PositionalArgs, run func(*client, []string) error) *cobra.Command {
	command := &cobra.Command{Use: use, Args: args}
	output := command.Flags().StringP("output", "o", "json", "json")
	all := command.Flags().BoolP("all", "a", false, "those that have ended, too")
	command.RunE = func(command *cobra.Command, words []string) error {
		if *output != "json" {
			return fmt.Errorf("the stand-in prints JSON only, not %q", *output)
		}
		endpoint, err := endpoint(command)
		if err != nil {
			return err
		}
		connection, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer connection.Close()
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		asked := &client{cri.NewRuntimeServiceClient(connection), cri.NewImageServiceClient(connection), ctx, *all}
		return run(asked, words)
	}
	return command
}

// endpoint is the socket given, else the one in crictl's configuration.
func endpoint(command *cobra.Command) (string, error) {
	if given := command.Flag("runtime-endpoint").Value.String(); given != "" {
		return given, nil
	}
	data, err := os.ReadFile(configPath)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no --runtime-endpoint and no %s", configPath)
	}
	if err != nil {
		return "", err
	}
	var config struct {
		RuntimeEndpoint string `yaml:"runtime-endpoint"`
	}
	return config.RuntimeEndpoint, yaml.Unmarshal(data, &config)
}

func info(c *client, _ []string) error {
	answer, err := c.RuntimeServiceClient.Status(c.context, &cri.StatusRequest{Verbose: true})
	if err != nil {
		return fmt.Errorf("getting status of runtime: %w", err)
	}
	handlers, err := json.Marshal(answer.RuntimeHandlers)
	if err != nil {
		return err
	}
	more := map[string]string{"runtimeHandlers": string(handlers)}
	maps.Copy(more, answer.Info)
	return printStatus(answer.Status, more)
}

func inspect(c *client, words []string) error {
	request := &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: words[0]}, Verbose: true}
	answer, err := c.ImageServiceClient.ImageStatus(c.context, request)
	if err != nil {
		return err
	}
	if answer.Image == nil {
		return fmt.Errorf("no such image %q present", words[0])
	}
	return printStatus(answer.Image, answer.Info)
}

func images(c *client, _ []string) error {
	answer, err := c.ListImages(c.context, &cri.ListImagesRequest{})
	return printed(answer, err)
}

func pods(c *client, _ []string) error {
	answer, err := c.ListPodSandbox(c.context, &cri.ListPodSandboxRequest{})
	return printed(answer, err)
}

func containers(c *client, _ []string) error {
	request := &cri.ListContainersRequest{}
	if !c.all {
		state := &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING}
		request.Filter = &cri.ContainerFilter{State: state}
	}
	answer, err := c.ListContainers(c.context, request)
	return printed(answer, err)
}

func version(c *client, _ []string) error {
	answer, err := c.Version(c.context, &cri.VersionRequest{})
	return printed(answer, err)
}

func pull(c *client, words []string) error {
	answer, err := c.PullImage(c.context, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: words[0]}})
	return printed(answer, err)
}

func printed(answer proto.Message, err error) error {
	if err != nil {
		return err
	}
	text, err := asJSON(answer)
	fmt.Println(text)
	return err
}

func asJSON(answer proto.Message) (string, error) {
	return (&jsonpb.Marshaler{EmitDefaults: true, Indent: "  "}).MarshalToString(answer)
}

// printStatus prints the status and, beside it, what else the runtime tells: JSON where it is, text where not.
func printStatus(status proto.Message, more map[string]string) error {
	text, err := asJSON(status)
	if err != nil {
		return err
	}
	keys := make([]string, 0, len(more))
	for key := range more {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	whole := bytes.NewBufferString(`{"status":` + text)
	for _, key := range keys {
		value := json.RawMessage(more[key])
		if !json.Valid(value) {
			if value, err = json.Marshal(more[key]); err != nil {
				return err
			}
		}
		fmt.Fprintf(whole, ",%q:%s", key, value)
	}
	whole.WriteString("}")
	var indented bytes.Buffer
	if err := json.Indent(&indented, whole.Bytes(), "", "  "); err != nil {
		return err
	}
	fmt.Println(indented.String())
	return nil
}
