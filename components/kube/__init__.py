"""The words that all components share: pods, probes, security, network policies, immutable configuration. No component is here."""
