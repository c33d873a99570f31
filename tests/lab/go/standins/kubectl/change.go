package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
)

func createCommand() *cobra.Command {
	namespace := &cobra.Command{Use: "namespace NAME", Aliases: []string{"ns"}, Args: cobra.ExactArgs(1)}
	namespace.RunE = func(command *cobra.Command, args []string) error {
		client, err := open(command)
		if err != nil {
			return err
		}
		resource, _ := cluster.ResourceNamed("namespace")
		path := resource.Path("") + "/" + args[0]
		if err := client.Do("GET", path, nil, nil); err == nil {
			return fmt.Errorf("%s (AlreadyExists): namespaces %q already exists", fromServer, args[0])
		} else if !errors.Is(err, kubeconfig.NotFound) {
			return err
		}
		object := cluster.Object{"metadata": cluster.Object{"name": args[0]}, "status": cluster.Object{"phase": "Active"}}
		if err := client.Do("PUT", path, object, nil); err != nil {
			return err
		}
		fmt.Printf("namespace/%s created\n", args[0])
		return nil
	}
	command := &cobra.Command{Use: "create", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		return errors.New("the stand-in creates namespaces only")
	}}
	command.AddCommand(namespace)
	return command
}

func labelCommand() *cobra.Command {
	command := &cobra.Command{Use: "label KIND NAME KEY=VALUE...", Args: cobra.MinimumNArgs(3)}
	overwrite := command.Flags().Bool("overwrite", false, "replace what is there")
	namespace := command.Flags().StringP("namespace", "n", "default", "namespace")
	command.RunE = func(command *cobra.Command, args []string) error {
		client, err := open(command)
		if err != nil {
			return err
		}
		resource, err := named(args)
		if err != nil {
			return err
		}
		path := resource.Path(*namespace) + "/" + args[1]
		object := cluster.Object{}
		if err := client.Do("GET", path, nil, &object); errors.Is(err, kubeconfig.NotFound) {
			return notFound(resource.Plural, args[1])
		} else if err != nil {
			return err
		}
		if err := addLabels(object, args[2:], *overwrite); err != nil {
			return err
		}
		fmt.Printf("%s/%s labeled\n", strings.ToLower(resource.Kind), args[1])
		return client.Do("PUT", path, object, nil)
	}
	return command
}

func addLabels(object cluster.Object, pairs []string, overwrite bool) error {
	metadata, _ := object["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	if labels == nil {
		labels = map[string]any{}
	}
	for _, pair := range pairs {
		key, value, found := strings.Cut(pair, "=")
		if !found {
			return fmt.Errorf("the stand-in wants KEY=VALUE, not %q", pair)
		}
		if known, is := labels[key]; is && known != value && !overwrite {
			return fmt.Errorf("'%s' already has a value (%v), and --overwrite is false", key, known)
		}
		labels[key] = value
	}
	metadata["labels"] = labels
	return nil
}

func deleteCommand() *cobra.Command {
	command := &cobra.Command{Use: "delete KIND [NAME]", Args: cobra.RangeArgs(1, 2)}
	namespace := command.Flags().StringP("namespace", "n", "default", "namespace")
	selector := command.Flags().StringP("selector", "l", "", "labels, a=b,c=d")
	command.RunE = func(command *cobra.Command, args []string) error {
		client, err := open(command)
		if err != nil {
			return err
		}
		resource, err := named(args)
		if err != nil {
			return err
		}
		names := args[1:]
		if (len(names) == 0) == (*selector == "") {
			return errors.New("resource(s) were provided, but no name was specified, or both a name and a selector")
		}
		path := resource.Path(*namespace)
		if *selector != "" {
			if names, err = namesOf(client, path+"?labelSelector="+url.QueryEscape(*selector)); err != nil {
				return err
			}
		}
		for _, name := range names {
			if err := client.Do("DELETE", path+"/"+name, nil, nil); errors.Is(err, kubeconfig.NotFound) {
				return notFound(resource.Plural, name)
			} else if err != nil {
				return err
			}
			fmt.Printf("%s %q deleted\n", strings.ToLower(resource.Kind), name)
		}
		return nil
	}
	return command
}

func namesOf(client *kubeconfig.Client, path string) ([]string, error) {
	var listed struct {
		Items []cluster.Object `json:"items"`
	}
	err := client.Do("GET", path, nil, &listed)
	names := []string{}
	for _, item := range listed.Items {
		names = append(names, cluster.Text(item, "metadata", "name"))
	}
	return names, err
}
