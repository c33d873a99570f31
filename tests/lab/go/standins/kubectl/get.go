package main

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"sort"
	"strconv"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

var (
	jsonPath = regexp.MustCompile(`^jsonpath=\{((?:\.[A-Za-z-]+|\[\d+\])+)\}$`)
	jsonStep = regexp.MustCompile(`\.([A-Za-z-]+)|\[(\d+)\]`)
)

func getCommand() *cobra.Command {
	command := &cobra.Command{Use: "get KIND [NAME]", Args: cobra.MaximumNArgs(2)}
	output := command.Flags().StringP("output", "o", "", "json, name, wide or jsonpath={.a.b[0]}")
	raw := command.Flags().String("raw", "", "path to ask for")
	namespace := command.Flags().StringP("namespace", "n", "default", "namespace")
	everywhere := command.Flags().BoolP("all-namespaces", "A", false, "every namespace")
	selector := command.Flags().StringP("selector", "l", "", "labels, a=b,c=d")
	ignored := command.Flags().Bool("ignore-not-found", false, "an object that is not there is no error")
	noHeaders := command.Flags().Bool("no-headers", false, "rows only")
	command.RunE = func(command *cobra.Command, args []string) error {
		client, err := open(command)
		if err != nil {
			return err
		}
		if *raw != "" {
			var text string
			err := client.Do("GET", *raw, nil, &text)
			fmt.Print(text)
			return err
		}
		resource, err := named(args)
		if err != nil {
			return err
		}
		if *everywhere {
			*namespace = ""
		}
		path := resource.Path(*namespace)
		if len(args) == 2 {
			if *everywhere || *selector != "" {
				return errors.New("a resource cannot be retrieved by name across all namespaces, or by name and selector")
			}
			err := get(client, path+"/"+args[1], *output, *noHeaders, resource.Plural, args[1])
			if *ignored && err != nil && err.Error() == notFound(resource.Plural, args[1]).Error() {
				return nil
			}
			return err
		}
		return get(client, path+"?labelSelector="+url.QueryEscape(*selector), *output, *noHeaders, resource.Plural, "")
	}
	return command
}

// named is the resource that the first argument means.
func named(args []string) (cluster.Resource, error) {
	if len(args) == 0 {
		return cluster.Resource{}, errors.New("you must specify the type of resource to get")
	}
	resource, found := cluster.ResourceNamed(args[0])
	if !found {
		return resource, fmt.Errorf("the server doesn't have a resource type %q", args[0])
	}
	return resource, nil
}

func get(client *kubeconfig.Client, path, output string, noHeaders bool, plural, name string) error {
	var answer map[string]any
	if err := client.Do("GET", path, nil, &answer); errors.Is(err, kubeconfig.NotFound) {
		return notFound(plural, name)
	} else if err != nil {
		return err
	}
	if output == "json" {
		fmt.Println(release.JSON(answer))
		return nil
	}
	if found := jsonPath.FindStringSubmatch(output); found != nil {
		fmt.Print(walk(answer, found[1]))
		return nil
	}
	items, isList := answer["items"].([]any)
	if !isList {
		items = []any{answer}
	}
	sort.Slice(items, func(a, b int) bool { return walk(items[a], ".metadata.name") < walk(items[b], ".metadata.name") })
	switch {
	case output == "name":
		for _, item := range items {
			fmt.Println(walk(item, ".metadata.name"))
		}
	case (output == "" || output == "wide") && isNodes(items):
		printNodes(items, noHeaders)
	default:
		return fmt.Errorf("the stand-in cannot print this as %q", output)
	}
	return nil
}

func notFound(plural, name string) error {
	return fmt.Errorf("%s (NotFound): %s %q not found", fromServer, plural, name)
}

// isNodes tells whether there is a table for the items; there is one for no items at all.
func isNodes(items []any) bool {
	return len(items) == 0 || walk(items[0], ".kind") == "Node"
}

// walk is the text at a path such as .a.b[0].c; empty when there is nothing.
func walk(value any, path string) string {
	for _, step := range jsonStep.FindAllStringSubmatch(path, -1) {
		switch place := value.(type) {
		case map[string]any:
			value = place[step[1]]
		case []any:
			index, err := strconv.Atoi(step[2])
			if err != nil || index >= len(place) {
				return ""
			}
			value = place[index]
		default:
			return ""
		}
	}
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

func printNodes(nodes []any, noHeaders bool) {
	if !noHeaders {
		fmt.Printf("%-20s %-10s %-15s %s\n", "NAME", "STATUS", "ROLES", "VERSION")
	}
	for _, node := range nodes {
		status, role := "NotReady", "<none>"
		if walk(node, ".status.conditions[0].status") == "True" {
			status = "Ready"
		}
		labels, _ := node.(map[string]any)["metadata"].(map[string]any)["labels"].(map[string]any)
		if _, found := labels["node-role.kubernetes.io/control-plane"]; found {
			role = "control-plane"
		}
		fmt.Printf("%-20s %-10s %-15s %s\n", walk(node, ".metadata.name"), status, role, release.Version)
	}
}
