"""The container images: what each is made of, how it is built from Debian packages, pushed and pinned by digest."""
