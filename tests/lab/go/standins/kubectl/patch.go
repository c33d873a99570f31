package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
)

// patchCommand merges into the data of a ConfigMap; the stand-in patches nothing else.
func patchCommand() *cobra.Command {
	command := &cobra.Command{Use: "patch KIND NAME", Args: cobra.ExactArgs(2)}
	namespace := command.Flags().StringP("namespace", "n", "default", "namespace")
	kind := command.Flags().String("type", "strategic", "merge")
	patch := command.Flags().StringP("patch", "p", "", "the patch, as JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		resource, err := named(args)
		if err != nil {
			return err
		}
		var wanted struct {
			Data map[string]any `json:"data"`
		}
		if err := json.Unmarshal([]byte(*patch), &wanted); err != nil {
			return fmt.Errorf("unable to parse %q: %w", *patch, err)
		}
		if resource.Plural != "configmaps" || *kind != "merge" || wanted.Data == nil {
			return fmt.Errorf("the stand-in merges into the data of ConfigMaps only, not %s into %s", *kind, args[0])
		}
		client, err := open(command)
		if err != nil {
			return err
		}
		return patchData(client, resource.Path(*namespace)+"/"+args[1], args[1], wanted.Data)
	}
	return command
}

func patchData(client *kubeconfig.Client, path, name string, data map[string]any) error {
	object := cluster.Object{}
	if err := client.Do("GET", path, nil, &object); errors.Is(err, kubeconfig.NotFound) {
		return notFound("configmaps", name)
	} else if err != nil {
		return err
	}
	merged, _ := object["data"].(map[string]any)
	if merged == nil {
		merged = map[string]any{}
	}
	maps.Copy(merged, data)
	object["data"] = merged
	if err := client.Do("PUT", path, object, nil); err != nil {
		return err
	}
	fmt.Printf("configmap/%s patched\n", name)
	return nil
}
