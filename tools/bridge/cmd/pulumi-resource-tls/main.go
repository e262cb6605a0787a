// Command pulumi-resource-tls is Pulumi's tls provider.
package main

import (
	"context"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"

	"switchyard.dev/tools/bridge/tls"
)

func main() {
	tfbridge.Main(context.Background(), "tls", tls.Provider(), tfbridge.ProviderMetadata{PackageSchema: tls.Schema})
}
