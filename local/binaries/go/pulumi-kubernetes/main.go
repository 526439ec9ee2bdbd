// Command pulumi-kubernetes is Pulumi's Kubernetes provider.
//
// The provider's own main embeds a file that its module lacks; here the build puts the module's schema in its place.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
)

//go:embed schema.json
var schema []byte

// The version that the engine is told: of the SDK, as it warns of a provider that is older.
var sdk string

func main() {
	provider.Serve("kubernetes", sdk, schema, nil)
}
