// Command generate writes schema.json and bridge-metadata.json of a provider. Run it after a change of version:
//
//	go run ./generate random
//	go run ./generate tls
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

	"switchyard.dev/tools/bridge/random"
	"switchyard.dev/tools/bridge/tls"
)

func main() {
	providers := map[string]func() tfbridge.ProviderInfo{"random": random.Provider, "tls": tls.Provider}
	if len(os.Args) != 2 || providers[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "generate: name a provider: random or tls")
		os.Exit(2)
	}
	name := os.Args[1]
	os.Args = []string{os.Args[0], "schema", "--skip-docs", "--skip-examples", "--out", name}
	tfgen.Main(name, providers[name]())
	// Of use to a provider that is installed as a project only.
	_ = os.Remove(filepath.Join(name, "Pulumi.yaml"))
	if err := shorten(filepath.Join(name, "schema.json")); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// shorten leaves out what only documentation and code generation read: nine tenths of the file.
func shorten(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var schema any
	if err := json.Unmarshal(content, &schema); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(without(schema)); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

func without(value any) any {
	switch value := value.(type) {
	case map[string]any:
		delete(value, "language")
		if _, text := value["description"].(string); text {
			delete(value, "description")
		}
		for key := range value {
			value[key] = without(value[key])
		}
	case []any:
		for index := range value {
			value[index] = without(value[index])
		}
	}
	return value
}
