// Package tls describes Pulumi's TLS provider: what it is called in programs.
package tls

import (
	_ "embed" // schema.json and bridge-metadata.json

	"github.com/hashicorp/terraform-provider-tls/shim"
	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
)

// Version is that of the PyPI package which asks for this plugin.
const Version = "5.6.2"

//go:embed bridge-metadata.json
var metadata []byte

// Schema is what ../generate wrote: types, and what is secret.
//
//go:embed schema.json
var Schema []byte

// Provider names the resources as the published provider does, so that a stack's state fits both.
func Provider() tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:                              pf.ShimProvider(shim.NewProvider()),
		Name:                           "tls",
		Version:                        Version,
		GitHubOrg:                      "hashicorp",
		MetadataInfo:                   tfbridge.NewProviderMetadata(metadata),
		EnableZeroDefaultSchemaVersion: true,
	}
	info.MustComputeTokens(tokens.SingleModule("tls_", "index", tokens.MakeStandard("tls")))
	info.MustApplyAutoAliases()
	return info
}
