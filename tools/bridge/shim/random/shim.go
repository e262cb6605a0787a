// Package shim reaches the provider, which is internal to its module: this module's path lies below that one's.
package shim

import (
	upstream "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/terraform-providers/terraform-provider-random/internal/provider"
)

// NewProvider makes Terraform's random provider.
func NewProvider() upstream.Provider {
	return provider.New()
}
