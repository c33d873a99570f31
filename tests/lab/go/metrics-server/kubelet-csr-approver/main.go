// Command kubelet-csr-approver does what the program of the same name does: it approves the serving certificates that
// kubelets ask the cluster's CA for, where the request is what this kubelet may have, and denies the others.
//
// The module of the real one, github.com/postfinance/kubelet-csr-approver, is not to be had from the Go module proxy.
// This one is ours, with the flags and variables that the chart sets; another flag is an error. It holds no election:
// two that approve the same request do no harm.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	certificates "k8s.io/api/certificates/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const resync = time.Minute

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	health := flag.String("health-probe-bind-address", ":8081", "where /healthz is answered")
	flag.String("metrics-bind-address", ":8080", "taken for the chart's sake; there are no metrics")
	flag.Bool("leader-election", false, "taken for the chart's sake; there is no election")
	flag.Int("level", 0, "taken for the chart's sake")
	flag.Parse()
	rules, err := readRules(os.Getenv)
	if err == nil {
		err = run(rules, *health)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// run judges every request there is and comes, until it is told to end.
func run(rules *rules, health string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	http.HandleFunc("/healthz", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, "ok") })
	failed := make(chan error, 1)
	go func() { failed <- http.ListenAndServe(health, nil) }()

	judge := func(object any) { answer(ctx, client, rules, object.(*certificates.CertificateSigningRequest)) }
	requests := cache.NewListWatchFromClient(
		client.CertificatesV1().RESTClient(), "certificatesigningrequests", core.NamespaceAll,
		fields.OneTermEqualSelector("spec.signerName", certificates.KubeletServingSignerName))
	// The resync brings back what could not be answered.
	_, informer := cache.NewInformer(requests, &certificates.CertificateSigningRequest{}, resync,
		cache.ResourceEventHandlerFuncs{AddFunc: judge, UpdateFunc: func(_, object any) { judge(object) }})
	go informer.Run(ctx.Done())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// answer approves or denies a request that nobody has answered yet.
func answer(ctx context.Context, client kubernetes.Interface, rules *rules, found *certificates.CertificateSigningRequest) {
	if len(found.Status.Conditions) > 0 {
		return
	}
	condition := certificates.CertificateSigningRequestCondition{
		Type: certificates.CertificateApproved, Status: core.ConditionTrue, Reason: "KubeletServingCertificate",
		Message: "what this kubelet may have", LastUpdateTime: meta.Now(),
	}
	if refused := rules.judge(&found.Spec); refused != nil {
		condition.Type, condition.Message = certificates.CertificateDenied, refused.Error()
	}
	request := found.DeepCopy()
	request.Status.Conditions = append(request.Status.Conditions, condition)
	_, err := client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, request.Name, request, meta.UpdateOptions{})
	if err != nil {
		log.Printf("%s: not answered: %v", request.Name, err)
		return
	}
	log.Printf("%s of %s: %s, %s", request.Name, request.Spec.Username, condition.Type, condition.Message)
}
