package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/chart"
	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
)

const (
	managedBy        = "app.kubernetes.io/managed-by"
	releaseName      = "meta.helm.sh/release-name"
	releaseNamespace = "meta.helm.sh/release-namespace"
)

func upgradeCommand() *cobra.Command {
	command := &cobra.Command{Use: "upgrade NAME CHART", Args: cobra.ExactArgs(2)}
	install := command.Flags().BoolP("install", "i", false, "install what is not there yet")
	files := command.Flags().StringSliceP("values", "f", nil, "files")
	reset := command.Flags().Bool("reset-values", false, "forget the values of last time")
	command.Flags().Duration("timeout", 5*time.Minute, "for hooks, of which the stand-in runs none")
	command.RunE = func(command *cobra.Command, args []string) error {
		if !*reset && len(*files) == 0 {
			return errors.New("the stand-in takes over no values of last time")
		}
		packed, values, err := arguments(args, *files)
		if err != nil {
			return err
		}
		client, err := open(command)
		if err != nil {
			return err
		}
		all, err := records(client, namespace(command), args[0])
		if err != nil {
			return err
		}
		if len(all) == 0 && !*install {
			return fmt.Errorf("UPGRADE FAILED: %q has no deployed releases", args[0])
		}
		if err := upgrade(client, packed, values, &record{Name: args[0], Namespace: namespace(command)}, all); err != nil {
			return err
		}
		fmt.Printf("Release %q has been installed or upgraded. Happy Helming! (%s)\n", args[0], notice)
		return nil
	}
	return command
}

// upgrade makes the next revision out of those there are.
func upgrade(client *kubeconfig.Client, packed *chart.Chart, values chart.Values, next *record, all []*record) error {
	next.Revision, next.Values, next.Updated = 1, values, now()
	next.Chart, next.AppVersion = packed.Metadata.Name+"-"+packed.Metadata.Version, packed.Metadata.AppVersion
	pending, before := "pending-install", []string{}
	if len(all) > 0 {
		last := all[len(all)-1]
		if strings.HasPrefix(last.Status, "pending-") {
			return errors.New("UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress")
		}
		next.Revision, pending, before = last.Revision+1, "pending-upgrade", last.Paths
	}
	var server map[string]string
	if err := client.Do("GET", "/version", nil, &server); err != nil {
		return err
	}
	objects, err := packed.Render(chart.Release{
		Name: next.Name, Namespace: next.Namespace, KubeVersion: server["gitVersion"], IsUpgrade: len(all) > 0, Revision: next.Revision,
	}, values)
	if err != nil {
		return err
	}
	places, err := placed(client, objects, next)
	if err != nil {
		return err
	}
	next.Paths = places
	if err := next.keep(client, pending); err != nil {
		return fmt.Errorf("create: failed to create: %w", err)
	}
	if err := apply(client, objects, next, before); err != nil {
		return errors.Join(err, next.keep(client, "failed"))
	}
	for _, revision := range all {
		if err := revision.keep(client, "superseded"); err != nil {
			return err
		}
	}
	return next.keep(client, "deployed")
}

// placed is where the API has each of the objects, which then belong to the release.
func placed(client *kubeconfig.Client, objects []chart.Object, next *record) ([]string, error) {
	places := []string{}
	for _, object := range objects {
		kind, apiVersion := cluster.Text(object.Fields, "kind"), cluster.Text(object.Fields, "apiVersion")
		resource, found := cluster.ResourceOf(apiVersion, kind)
		if !found {
			return nil, fmt.Errorf("unable to build kubernetes objects from release manifest: no matches for kind %q in version %q", kind, apiVersion)
		}
		metadata, _ := object.Fields["metadata"].(map[string]any)
		name := cluster.Text(object.Fields, "metadata", "name")
		if name == "" {
			return nil, fmt.Errorf("an object of kind %s has no name", kind)
		}
		if resource.Namespaced && cluster.Text(metadata, "namespace") == "" {
			metadata["namespace"] = next.Namespace
		}
		set(metadata, "labels", managedBy, "Helm")
		set(metadata, "annotations", releaseName, next.Name)
		set(metadata, "annotations", releaseNamespace, next.Namespace)
		place := resource.Path(cluster.Text(metadata, "namespace")) + "/" + name
		if err := demandOwn(client, place, next); err != nil {
			return nil, fmt.Errorf("Unable to continue with install: %s %q exists and cannot be imported into the current release: %w", kind, name, err)
		}
		places = append(places, place)
	}
	return places, nil
}

func set(metadata map[string]any, field, key, value string) {
	fields, _ := metadata[field].(map[string]any)
	if fields == nil {
		fields = map[string]any{}
		metadata[field] = fields
	}
	fields[key] = value
}

// demandOwn refuses to take over an object that is another's.
func demandOwn(client *kubeconfig.Client, place string, next *record) error {
	object := cluster.Object{}
	if err := client.Do("GET", place, nil, &object); err != nil {
		if errors.Is(err, kubeconfig.NotFound) {
			return nil
		}
		return err
	}
	if cluster.Text(object, "metadata", "annotations", releaseName) != next.Name || cluster.Text(object, "metadata", "labels", managedBy) != "Helm" {
		return errors.New("invalid ownership metadata")
	}
	return nil
}

// apply makes the objects, and removes those of the revision before that are not among them.
func apply(client *kubeconfig.Client, objects []chart.Object, next *record, before []string) error {
	for number, object := range objects {
		if err := client.Do("PUT", next.Paths[number], object.Fields, nil); err != nil {
			return err
		}
	}
	for _, place := range before {
		if !slices.Contains(next.Paths, place) {
			if err := removed(client, place); err != nil {
				return err
			}
		}
	}
	return nil
}

func removed(client *kubeconfig.Client, place string) error {
	if err := client.Do("DELETE", place, nil, nil); !errors.Is(err, kubeconfig.NotFound) {
		return err
	}
	return nil
}

func uninstallCommand() *cobra.Command {
	command := &cobra.Command{Use: "uninstall NAME", Aliases: []string{"delete"}, Args: cobra.ExactArgs(1)}
	command.RunE = func(command *cobra.Command, args []string) error {
		client, err := open(command)
		if err != nil {
			return err
		}
		all, err := records(client, namespace(command), args[0])
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return fmt.Errorf("uninstall: Release not loaded: %s: release: not found", args[0])
		}
		last := all[len(all)-1]
		if err := last.keep(client, "uninstalling"); err != nil {
			return err
		}
		for _, place := range last.Paths {
			if err := removed(client, place); err != nil {
				return err
			}
		}
		for _, revision := range all {
			if err := revision.remove(client); err != nil {
				return err
			}
		}
		fmt.Printf("release %q uninstalled\n", args[0])
		return nil
	}
	return command
}
