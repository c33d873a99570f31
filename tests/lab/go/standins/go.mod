module airgap-bundle/tests/lab/go/standins

go 1.24.0

require (
	github.com/gogo/protobuf v1.3.2
	github.com/spf13/cobra v1.8.1
	google.golang.org/grpc v1.63.2
	gopkg.in/yaml.v3 v3.0.1
	k8s.io/cri-api v0.30.14
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/kr/text v0.2.0 // indirect
	github.com/spf13/pflag v1.0.5 // indirect
	golang.org/x/net v0.23.0 // indirect
	golang.org/x/sys v0.18.0 // indirect
	golang.org/x/text v0.14.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240227224415-6ceb2ff114de // indirect
	google.golang.org/protobuf v1.33.0 // indirect
)
