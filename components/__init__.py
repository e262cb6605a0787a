"""The product as Pulumi components, one a file, named as in the trade."""
