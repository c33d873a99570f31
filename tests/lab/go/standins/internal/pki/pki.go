// Package pki makes the certificates of a cluster, in the files kubeadm keeps them in.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Folder is where kubeadm keeps certificates and keys.
const Folder = "/etc/kubernetes/pki"

// Pair is a certificate and its key.
type Pair struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// NewCA makes a certificate authority that is valid for ten years.
func NewCA(name string) (*Pair, error) {
	return issue(nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		DNSNames: []string{name},
		NotAfter: time.Now().AddDate(10, 0, 0),
	})
}

// Issue makes a certificate for one year that serves for names (DNS names and addresses) and as a client.
func (ca *Pair) Issue(commonName, organization string, names []string) (*Pair, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		NotAfter:    time.Now().AddDate(1, 0, 0),
	}
	if organization != "" {
		template.Subject.Organization = []string{organization}
	}
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return issue(ca, template)
}

func issue(ca *Pair, template *x509.Certificate) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, err
	}
	template.NotBefore = time.Now().Add(-5 * time.Minute)
	parent, signer := template, crypto.Signer(key)
	if ca != nil {
		parent, signer = ca.Certificate, ca.Key
	}
	data, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(data)
	return &Pair{certificate, key}, err
}

// CertificatePEM is the certificate in PEM.
func (p *Pair) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate.Raw})
}

// KeyPEM is the key in PEM.
func (p *Pair) KeyPEM() ([]byte, error) {
	data, err := x509.MarshalPKCS8PrivateKey(p.Key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: data}), err
}

// Write keeps the pair as name.crt and name.key below Folder.
func (p *Pair) Write(name string) error {
	key, err := p.KeyPEM()
	if err != nil {
		return err
	}
	path := filepath.Join(Folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".key", key, 0o600); err != nil {
		return err
	}
	return os.WriteFile(path+".crt", p.CertificatePEM(), 0o644)
}

// WriteKeys makes a key pair without a certificate, name.key and name.pub below Folder, as service accounts have it.
func WriteKeys(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := (&Pair{Key: key}).KeyPEM()
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	path := filepath.Join(Folder, name)
	if err := os.WriteFile(path+".key", private, 0o600); err != nil {
		return err
	}
	return os.WriteFile(path+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600)
}

// Read is the pair kept as name.crt and name.key below Folder.
func Read(name string) (*Pair, error) {
	path := filepath.Join(Folder, name)
	certificate, err := ReadCertificate(path + ".crt")
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path + ".key")
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s.key holds no PEM block", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, err := Signer(key)
	return &Pair{certificate, signer}, err
}

// ReadCertificate is the first certificate in a PEM file.
func ReadCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	return x509.ParseCertificate(block.Bytes)
}

// Hash is what joining nodes are told to expect of a CA: sha256: and the digest of its public key.
func Hash(certificate *x509.Certificate) string {
	digest := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(digest[:])
}

// Signer is a parsed private key as what it can do.
func Signer(key any) (crypto.Signer, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return signer, nil
}
