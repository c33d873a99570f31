package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	certificates "k8s.io/api/certificates/v1"
)

const nodePrefix = "system:node:"

// rules are what a request must keep to: the names and addresses that nodes of this cluster can have.
type rules struct {
	names     *regexp.Regexp
	addresses []netip.Prefix
}

// readRules takes them from the variables that the chart sets.
func readRules(variable func(string) string) (*rules, error) {
	if variable("BYPASS_DNS_RESOLUTION") != "true" {
		return nil, fmt.Errorf("BYPASS_DNS_RESOLUTION: wanted true; this program asks no DNS")
	}
	text := variable("PROVIDER_REGEX")
	if text == "" {
		return nil, fmt.Errorf("PROVIDER_REGEX: wanted a pattern for the names of nodes, found nothing")
	}
	names, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("PROVIDER_REGEX: %w", err)
	}
	found := &rules{names: names}
	for _, text := range strings.Split(variable("PROVIDER_IP_PREFIXES"), ",") {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("PROVIDER_IP_PREFIXES: %w", err)
		}
		found.addresses = append(found.addresses, prefix)
	}
	return found, nil
}

// judge says why a request is refused, and nothing when it is good.
func (rules *rules) judge(spec *certificates.CertificateSigningRequestSpec) error {
	block, _ := pem.Decode(spec.Request)
	if block == nil {
		return fmt.Errorf("the request is no PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	name, isNode := strings.CutPrefix(spec.Username, nodePrefix)
	switch {
	case !isNode:
		return fmt.Errorf("%s is no node", spec.Username)
	case request.Subject.CommonName != spec.Username:
		return fmt.Errorf("asked by %s for %s", spec.Username, request.Subject.CommonName)
	case !rules.names.MatchString(name):
		return fmt.Errorf("the name %s is none that a node of this cluster has: %s", name, rules.names)
	case len(request.DNSNames)+len(request.IPAddresses) == 0:
		return fmt.Errorf("neither a name nor an address is asked for")
	}
	for _, other := range request.DNSNames {
		if other != name {
			return fmt.Errorf("%s asks for the name %s", name, other)
		}
	}
	for _, bytes := range request.IPAddresses {
		address, _ := netip.AddrFromSlice(bytes)
		address = address.Unmap()
		if !slices.ContainsFunc(rules.addresses, func(prefix netip.Prefix) bool { return prefix.Contains(address) }) {
			return fmt.Errorf("the address %s is in none of %v", address, rules.addresses)
		}
	}
	return nil
}
