package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
)

const rulesEvery = time.Minute

// node is what a cache has on its machine: addresses on an interface of their own, and rules for them.
type node struct {
	addresses []net.IP
	port      string
}

// addLink makes the interface and puts the addresses on it; what is there already stays.
func (n *node) addLink() error {
	link, err := netlink.LinkByName(*linkName)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		link = &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: *linkName}}
		err = netlink.LinkAdd(link)
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", *linkName, err)
	}
	for _, address := range n.addresses {
		err := netlink.AddrAdd(link, &netlink.Addr{IPNet: netlink.NewIPNet(address)})
		if err != nil && !errors.Is(err, syscall.EEXIST) {
			return fmt.Errorf("address %s on %s: %w", address, *linkName, err)
		}
	}
	return nil
}

// rule is one of iptables: table, chain and the rest.
type rule struct {
	table, chain string
	words        []string
}

// rules exempt what goes to and comes from the cache from connection tracking, and let it pass.
func (n *node) rules() []rule {
	var found []rule
	for _, address := range n.addresses {
		for _, protocol := range []string{"udp", "tcp"} {
			to := []string{"-p", protocol, "-d", address.String(), "--dport", n.port}
			from := []string{"-p", protocol, "-s", address.String(), "--sport", n.port}
			found = append(found,
				rule{"raw", "PREROUTING", append(to, "-j", "NOTRACK")}, rule{"raw", "OUTPUT", append(to, "-j", "NOTRACK")},
				rule{"raw", "OUTPUT", append(from, "-j", "NOTRACK")},
				rule{"filter", "INPUT", append(to, "-j", "ACCEPT")}, rule{"filter", "OUTPUT", append(from, "-j", "ACCEPT")},
			)
		}
		toHealth := []string{"-p", "tcp", "-d", address.String(), "--dport", *healthPort, "-j", "NOTRACK"}
		fromHealth := []string{"-p", "tcp", "-s", address.String(), "--sport", *healthPort, "-j", "NOTRACK"}
		found = append(found, rule{"raw", "OUTPUT", toHealth}, rule{"raw", "OUTPUT", fromHealth})
	}
	return found
}

// keepRules makes the rules once CoreDNS has written its pid, so that they are not there without a cache, and again
// when they were taken away.
func (n *node) keepRules(pidFile string) {
	for pidFile != "" {
		if _, err := os.Stat(pidFile); err == nil {
			break
		}
		time.Sleep(time.Second)
	}
	for ; ; time.Sleep(rulesEvery) {
		for _, wanted := range n.rules() {
			if n.iptables("-C", wanted) != nil {
				if err := n.iptables("-I", wanted); err != nil {
					fmt.Fprintf(os.Stderr, "node-cache: %v\n", err)
				}
			}
		}
	}
}

func (n *node) iptables(verb string, wanted rule) error {
	program := "iptables"
	if n.addresses[0].To4() == nil {
		program = "ip6tables"
	}
	argv := append([]string{"-w", "5", "-t", wanted.table, verb, wanted.chain}, wanted.words...)
	if output, err := exec.Command(program, argv...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(argv, " "), err, output)
	}
	return nil
}

// tearDown takes everything away that was set up; what is not there any more is as wanted.
func (n *node) tearDown() {
	if *setUpRules {
		for _, made := range n.rules() {
			for n.iptables("-D", made) == nil {
			}
		}
	}
	if link, err := netlink.LinkByName(*linkName); *setUpLink && err == nil {
		if err := netlink.LinkDel(link); err != nil {
			fmt.Fprintf(os.Stderr, "node-cache: interface %s: %v\n", *linkName, err)
		}
	}
}
