// The custom resource definitions of the Gateway API, of inference pools, of LeaderWorkerSet and of KEDA; nothing is built from it.
module gke-llm-inference/binaries/gateway

go 1.26.0

require (
	github.com/kedacore/http-add-on v0.15.0
	github.com/kedacore/keda/v2 v2.21.0
	sigs.k8s.io/gateway-api v1.5.1
	sigs.k8s.io/gateway-api-inference-extension v1.6.0
	sigs.k8s.io/lws v0.9.0
)
