// The custom resource definitions of the Gateway API and of inference pools; nothing is built from it.
module gke-llm-inference/binaries/gateway

go 1.26.0

require (
	sigs.k8s.io/gateway-api v1.5.1
	sigs.k8s.io/gateway-api-inference-extension v1.6.0
)
