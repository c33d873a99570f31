package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/release"
)

// states is the flag of helm list by which releases of each state are shown.
var states = map[string]string{
	"deployed": "deployed", "failed": "failed", "superseded": "superseded", "uninstalled": "uninstalled",
	"uninstalling": "uninstalling", "pending-install": "pending", "pending-upgrade": "pending", "pending-rollback": "pending",
}

func listCommand() *cobra.Command {
	command := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Args: cobra.NoArgs}
	filter := command.Flags().StringP("filter", "f", "", "expression")
	output := command.Flags().StringP("output", "o", "table", "json")
	everywhere := command.Flags().BoolP("all-namespaces", "A", false, "every namespace")
	for _, name := range []string{"deployed", "failed", "pending", "superseded", "uninstalled", "uninstalling"} {
		command.Flags().Bool(name, false, "releases that are "+name)
	}
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := demandJSON(*output); err != nil {
			return err
		}
		named, err := regexp.Compile(*filter)
		if err != nil {
			return err
		}
		client, err := open(command)
		if err != nil {
			return err
		}
		where := namespace(command)
		if *everywhere {
			where = ""
		}
		all, err := records(client, where, "")
		if err != nil {
			return err
		}
		shown := []map[string]string{}
		for _, found := range newest(all) {
			if named.MatchString(found.Name) && isShown(command, found.Status) {
				shown = append(shown, map[string]string{
					"name": found.Name, "namespace": found.Namespace, "revision": strconv.Itoa(found.Revision),
					"updated": found.Updated, "status": found.Status, "chart": found.Chart, "app_version": found.AppVersion,
				})
			}
		}
		fmt.Println(release.JSON(shown))
		return nil
	}
	return command
}

// isShown tells whether releases of a status are asked for; without a flag, those that are deployed or have failed.
func isShown(command *cobra.Command, status string) bool {
	asked := false
	for _, flag := range states {
		asked = asked || command.Flag(flag).Changed
	}
	if !asked {
		return status == "deployed" || status == "failed"
	}
	return command.Flag(states[status]).Value.String() == "true"
}

func getCommand() *cobra.Command {
	values := &cobra.Command{Use: "values NAME", Args: cobra.ExactArgs(1)}
	output := values.Flags().StringP("output", "o", "table", "json")
	values.RunE = func(command *cobra.Command, args []string) error {
		if err := demandJSON(*output); err != nil {
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
		if len(all) == 0 {
			return errors.New("release: not found")
		}
		found := all[len(all)-1].Values
		if len(found) == 0 {
			fmt.Println("null")
			return nil
		}
		fmt.Println(release.JSON(found))
		return nil
	}
	command := &cobra.Command{Use: "get", Args: cobra.NoArgs, RunE: func(command *cobra.Command, _ []string) error {
		return command.Help()
	}}
	command.AddCommand(values)
	return command
}

func demandJSON(output string) error {
	switch {
	case output == "json":
		return nil
	case strings.Contains(" table yaml ", " "+output+" "):
		return fmt.Errorf("the stand-in prints JSON only, not %s", output)
	default:
		return errors.New("invalid format type")
	}
}
