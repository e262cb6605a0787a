// Command pulumi-resource-kubernetes is Pulumi's Kubernetes provider, built from the commit tagged v4.25.0.
package main

import (
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
)

// The schema serves code generation and documentation alone. preview, up, refresh and destroy work without it,
// and the real one is not part of the module.
const schema = `{"name":"kubernetes","version":"4.25.0"}`

func main() {
	provider.Serve("kubernetes", "4.25.0", []byte(schema), []byte("{}"))
}
