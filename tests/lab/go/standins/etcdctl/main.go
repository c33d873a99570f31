// Command etcdctl stands in for etcd's clients: it tells its version and refuses everything else.
package main

import (
	"fmt"
	"os"
)

// etcdVersion is linked in.
var etcdVersion = "unknown"

func main() {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Printf("etcdctl version: %s\nAPI version: 3.5\n", etcdVersion)
		return
	}
	fmt.Fprintln(os.Stderr, "Error: this is a stand-in of the test lab, it only tells its version")
	os.Exit(1)
}
