// Package random describes Pulumi's random provider: what it is called in programs, and its one odd identifier.
package random

import (
	"context"
	_ "embed" // schema.json and bridge-metadata.json
	"errors"

	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/terraform-providers/terraform-provider-random/shim"
)

// Version is that of the PyPI package which asks for this plugin.
const Version = "4.21.4"

//go:embed bridge-metadata.json
var metadata []byte

// Schema is what ../generate wrote: types, and what is secret.
//
//go:embed schema.json
var Schema []byte

// Provider names the resources as the published provider does, so that a stack's state fits both.
func Provider() tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:            pf.ShimProvider(shim.NewProvider()),
		Name:         "random",
		Version:      Version,
		MetadataInfo: tfbridge.NewProviderMetadata(metadata),
		Resources: map[string]*tfbridge.ResourceInfo{
			"random_bytes": {ComputeID: bytesID},
		},
		EnableAccurateBridgePreview: true,
		EnableRawStateDelta:         true,
	}
	token := func(module, name string) (string, error) {
		return tokens.MakeStandard("random")(module, "Random"+name)
	}
	info.MustComputeTokens(tokens.SingleModule("random_", "index", token))
	info.MustApplyAutoAliases()
	return info
}

// bytesID is the value itself, as in the published provider: Terraform's random_bytes has no id.
func bytesID(_ context.Context, state resource.PropertyMap) (resource.ID, error) {
	value := state["base64"]
	if value.IsSecret() {
		value = value.SecretValue().Element
	}
	if !value.IsString() {
		return "", errors.New("random_bytes: base64 is missing from the state")
	}
	return resource.ID(value.StringValue()), nil
}
