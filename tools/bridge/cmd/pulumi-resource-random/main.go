// Command pulumi-resource-random is Pulumi's random provider.
package main

import (
	"context"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"

	"switchyard.dev/tools/bridge/random"
)

func main() {
	tfbridge.Main(context.Background(), "random", random.Provider(), tfbridge.ProviderMetadata{PackageSchema: random.Schema})
}
