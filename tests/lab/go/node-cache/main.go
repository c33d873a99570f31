// Command node-cache does what the program of the same name in Kubernetes' node-local DNS image does: it gives a node
// addresses of its own for a DNS cache, exempts them from connection tracking, and serves them by CoreDNS.
//
// The module of the real one, k8s.io/dns, is not to be had from the Go module proxy. This one is ours around the same
// CoreDNS release, with its flags as far as the catalogue's add-on sets them; another flag is an error.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/bufsize"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/template"
	_ "github.com/coredns/coredns/plugin/whoami"
)

// imageVersion is the tag of the image this stands in, linked in.
var imageVersion = "unknown"

var (
	localAddresses = flag.String("localip", "", "addresses of the cache, separated by commas")
	baseCorefile   = flag.String("basecorefile", "/etc/coredns/Corefile.base", "the Corefile with what is filled in here")
	upstream       = flag.String("upstreamsvc", "kube-dns", "the Service that is asked")
	healthPort     = flag.String("health-port", "8080", "port of the health plugin")
	setUpLink      = flag.Bool("setupinterface", true, "make the interface")
	linkName       = flag.String("interfacename", "nodelocaldns", "the interface to make")
	setUpRules     = flag.Bool("setupiptables", true, "make the iptables rules")
	skipTeardown   = flag.Bool("skipteardown", false, "leave interface and rules behind")
)

func main() {
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "Usage of node-cache %s (the test lab's, CoreDNS %s):\n", imageVersion, coremain.CoreVersion)
		flag.PrintDefaults()
	}
	flag.Parse()
	// With -version or -plugins CoreDNS answers and ends, and nothing is set up for that.
	if !asks("version") && !asks("plugins") {
		if err := setUp(); err != nil {
			fmt.Fprintf(os.Stderr, "node-cache: %v\n", err)
			os.Exit(1)
		}
	}
	coremain.Run()
}

func asks(name string) bool {
	given := flag.Lookup(name)
	return given != nil && given.Value.String() == "true"
}

func setUp() error {
	addresses, err := parsed(*localAddresses)
	if err != nil {
		return err
	}
	if err := fill(*baseCorefile, flag.Lookup("conf").Value.String(), *localAddresses, *upstream); err != nil {
		return err
	}
	cache := &node{addresses: addresses, port: flag.Lookup("dns.port").Value.String()}
	if *setUpLink {
		if err := cache.addLink(); err != nil {
			return err
		}
	}
	if *setUpRules {
		go cache.keepRules(flag.Lookup("pidfile").Value.String())
	}
	if !*skipTeardown {
		caddy.OnProcessExit = append(caddy.OnProcessExit, cache.tearDown)
	}
	return nil
}

// parsed is the addresses of a list, which are all of one family.
func parsed(list string) ([]net.IP, error) {
	var addresses []net.IP
	for _, text := range strings.Split(list, ",") {
		address := net.ParseIP(text)
		if address == nil {
			return nil, fmt.Errorf("invalid localip specified - %q", text)
		}
		addresses = append(addresses, address)
		if (address.To4() == nil) != (addresses[0].To4() == nil) {
			return nil, fmt.Errorf("localip: %s and %s are of two families", addresses[0], address)
		}
	}
	return addresses, nil
}

// fill writes the Corefile: what its base has, with the addresses of this cluster and this node.
func fill(base, path, local, service string) error {
	text, err := os.ReadFile(base)
	if err != nil {
		return err
	}
	variable := strings.ToUpper(strings.ReplaceAll(service, "-", "_")) + "_SERVICE_HOST"
	asked := net.ParseIP(os.Getenv(variable))
	if asked == nil && strings.Contains(string(text), "__PILLAR__CLUSTER__DNS__") {
		return fmt.Errorf("no address of the Service %s in %s", service, variable)
	}
	filled := strings.NewReplacer(
		"__PILLAR__CLUSTER__DNS__", asked.String(), "__PILLAR__UPSTREAM__SERVERS__", "/etc/resolv.conf",
		"__PILLAR__LOCAL__DNS__", strings.ReplaceAll(local, ",", " "), "__PILLAR__DNS__SERVER__", "",
	).Replace(string(text))
	return os.WriteFile(path, []byte(filled), 0o644)
}
