package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"airgap-bundle/tests/lab/go/standins/internal/cluster"
	"airgap-bundle/tests/lab/go/standins/internal/kubeadmconfig"
	"airgap-bundle/tests/lab/go/standins/internal/kubeconfig"
	"airgap-bundle/tests/lab/go/standins/internal/pki"
	"airgap-bundle/tests/lab/go/standins/internal/preflight"
	"airgap-bundle/tests/lab/go/standins/internal/release"
)

const kubeletConf = "/etc/kubernetes/kubelet.conf"

func joinCommand() *cobra.Command {
	command := leaf("join", runJoin)
	command.Flags().String("config", "", "file")
	command.Flags().StringSlice("ignore-preflight-errors", nil, "names of checks")
	command.Flags().StringSlice("skip-phases", nil, "names of phases")
	return command
}

func runJoin(command *cobra.Command) error {
	path := text(command, "config")
	if path == "" {
		return errors.New("the stand-in wants --config")
	}
	config, err := kubeadmconfig.Load(path, false)
	if err != nil {
		return err
	}
	join := config.Join
	if join == nil {
		return fmt.Errorf("no JoinConfiguration found in config file %q", path)
	}
	if join.ControlPlane != nil {
		return errors.New("the stand-in joins workers only")
	}
	ignored, err := command.Flags().GetStringSlice("ignore-preflight-errors")
	if err != nil {
		return err
	}
	fmt.Printf("[preflight] Running pre-flight checks (%s)\n", release.Notice)
	registration := join.NodeRegistration
	if err := preflight.Run(preflight.Join(registration), append(ignored, registration.IgnorePreflightErrors...)); err != nil {
		return fmt.Errorf("error execution phase preflight: %w", err)
	}
	if err := discover(join); err != nil {
		return fmt.Errorf("error execution phase preflight: couldn't validate the identity of the API Server: %w", err)
	}
	if err := writeKubelet(registration, config.Cluster, config.Kubelet, join.Patches); err != nil {
		return fmt.Errorf("error execution phase kubelet-start: %w", err)
	}
	if err := startKubelet(); err != nil {
		return fmt.Errorf("error execution phase kubelet-start: %w", err)
	}
	fmt.Printf("\nThis node has joined the cluster (%s)\n", release.Notice)
	return nil
}

// discover learns the cluster's CA, checks it against the hashes given, and has the node's certificate made.
func discover(join *kubeadmconfig.Join) error {
	bootstrap := join.Discovery.BootstrapToken
	server := "https://" + bootstrap.APIServerEndpoint
	var info cluster.Info
	if err := kubeconfig.Unverified(server).Do("GET", cluster.InfoPath, nil, &info); err != nil {
		return err
	}
	block, _ := pem.Decode([]byte(info.CA))
	if block == nil {
		return errors.New("cluster-info holds no certificate")
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	if !bootstrap.UnsafeSkipCAVerification && !slices.Contains(bootstrap.CACertHashes, pki.Hash(ca)) {
		return fmt.Errorf("cluster CA found in cluster-info ConfigMap is invalid: none of the public keys %q are pinned", pki.Hash(ca))
	}
	id, _, _ := strings.Cut(bootstrap.Token, ".")
	if !slices.Contains(info.TokenIDs, id) {
		return fmt.Errorf("could not find a JWS signature in the cluster-info ConfigMap for token ID %q", id)
	}
	var signed cluster.Signed
	name := join.NodeRegistration.Name
	client := kubeconfig.WithToken(server, []byte(info.CA), bootstrap.Token)
	if err := client.Do("POST", cluster.SignPath, map[string]string{"name": name}, &signed); err != nil {
		return err
	}
	return writeIdentity(server, ca, name, signed)
}

func writeIdentity(server string, ca *x509.Certificate, name string, signed cluster.Signed) error {
	given, err := tls.X509KeyPair([]byte(signed.Certificate), []byte(signed.Key))
	if err != nil {
		return err
	}
	certificate, err := x509.ParseCertificate(given.Certificate[0])
	if err != nil {
		return err
	}
	signer, err := pki.Signer(given.PrivateKey)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(pki.Folder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(pki.Folder+"/ca.crt", (&pki.Pair{Certificate: ca}).CertificatePEM(), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(manifestsFolder, 0o755); err != nil {
		return err
	}
	return kubeconfig.Write(kubeletConf, "kubernetes", server, ca, "system:node:"+name, &pki.Pair{Certificate: certificate, Key: signer})
}
